"""`onefold audit`: laws that always hold, over everything that Onefold and its providers have written down.

Why: services check themselves, one transaction at a time; only somebody who reads all books together can say that
nothing was lost and nothing counted twice.
"""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from ops.audit.run import Verdict
from ops.audit.run import audit as look_until_clean
from ops.audit.sources import Places
from ops.local import environment


def audit(
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds for what is on its way to arrive.")] = 5.0,
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Nobody is buying: whatever is not finished is stuck.")
    ] = False,
    laws: Annotated[bool, typer.Option("--laws", help="List the laws and look at nothing.")] = False,
) -> None:
    """Hold all books against each other; one line per breach, exit 1 if there is one.

    Addresses come from the running local stack, or from the ONEFOLD_... variables of the services.
    """
    if laws:
        _list()
        return
    places = Places.told_by(environment.current())
    if not places.databases:
        raise SystemExit("onefold: no stack is running here, and no ONEFOLD_<SERVICE>_DATABASE_URL is set")
    verdict = asyncio.run(look_until_clean(places, patience_seconds=patience, at_rest=at_rest))
    typer.echo(json.dumps(asdict(verdict), indent=1) if as_json else text_of(verdict))
    raise typer.Exit(1 if verdict.breaches else 0)


def text_of(verdict: Verdict) -> str:
    """One line per breach, or one line that there is none."""
    if verdict.breaches:
        return "\n".join(map(str, verdict.breaches))
    return f"{verdict.laws} laws hold over {verdict.events} events"


def _list() -> None:
    import ops.audit.laws  # noqa: F401 - registers them
    from ops.audit.law import LAWS

    for each in LAWS:
        typer.echo(f"{each.name}\n    {each.sentence}")
