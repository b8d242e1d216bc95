"""`onefold audit`: laws that always hold, over everything that Onefold and its providers have written down.

Why: services check themselves, one transaction at a time; only somebody who reads all books together can say that
nothing was lost and nothing counted twice.
"""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from ops import access
from ops.audit.run import Verdict
from ops.audit.run import audit as look_until_clean
from ops.audit.sources import WITNESSES, Places
from ops.local import environment
from services.chassis.config import ConfigurationError


def audit(
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds for what is on its way to arrive.")] = 5.0,
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Nobody is buying: whatever is not finished is stuck.")
    ] = False,
    hours: Annotated[
        float, typer.Option(min=0, help="Of the events, only those of so many hours; 0: all that the topics keep.")
    ] = 24.0,
    without: Annotated[
        list[str] | None, typer.Option(help=f"A witness that need not be there: {', '.join(WITNESSES)}.")
    ] = None,
    laws: Annotated[bool, typer.Option("--laws", help="List the laws and look at nothing.")] = False,
) -> None:
    """Hold all books against each other: one line per breach and exit 1, or exit 2 if something was not looked at.

    Addresses come from the running local stack, or from the ONEFOLD_... variables of the services.
    """
    if laws:
        _list()
        return
    window = timedelta(hours=hours) if hours else None
    verdict = access.run(_audit(patience, at_rest, window, without or []))
    typer.echo(json.dumps(asdict(verdict), indent=1) if as_json else text_of(verdict))
    raise typer.Exit(exit_code(verdict))


def text_of(verdict: Verdict) -> str:
    """One line per breach, or one line that there is none; and what was not looked at."""
    lines = [str(breach) for breach in verdict.breaches] or [f"{verdict.laws} laws hold over {verdict.events} events"]
    if verdict.unseen:
        lines.append(f"not looked at: {', '.join(verdict.unseen)}")
    return "\n".join(lines)


def exit_code(verdict: Verdict) -> int:
    """1: something is wrong. 2: nothing is, as far as was looked. 0: nothing is."""
    return 1 if verdict.breaches else 2 if verdict.unseen else 0


async def _audit(patience: float, at_rest: bool, window: timedelta | None, without: list[str]) -> Verdict:
    places = Places.told_by(environment.current())
    if unknown := set(without) - set(WITNESSES):
        raise ConfigurationError(f"{', '.join(sorted(unknown))}: none of {', '.join(WITNESSES)}")
    if not places.databases:
        raise ConfigurationError("no stack is running here, and no ONEFOLD_<SERVICE>_DATABASE_URL is set")
    return await look_until_clean(places, patience_seconds=patience, at_rest=at_rest, window=window, without=without)


def _list() -> None:
    import ops.audit.laws  # noqa: F401 - registers them
    from ops.audit.law import LAWS

    for each in LAWS:
        typer.echo(f"{each.name} ({', '.join(each.witnesses)})\n    {each.sentence}")
