"""`onefold mails`: mails that were given up, and another try.

Why: an address is corrected or a mail server mended by a person, and then nothing but this should be needed.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from consumers.emails import store
from consumers.emails.jobs import resend as plan_again
from ops import access
from services.chassis.clock import SystemClock

ALL: Final = 1_000_000
app = typer.Typer(help="List mails that were given up, and send them again.", no_args_is_help=True)


@app.command("list")
def unsent(limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 100) -> None:
    """Mails that were given up: no address, refused by the mail server, or out of tries."""
    rows = access.run(_unsent(limit + 1))
    table = Table("event", "kind", "about", "state", "tries", "why", box=None, header_style="bold")
    for row in rows[:limit]:
        told = (row[name] for name in ("event_id", "kind", "subject", "state", "tries", "last_error"))
        table.add_row(*(str(value) for value in told))
    Console(highlight=False, soft_wrap=True).print(table if rows else "none")
    access.admit_more(rows, limit)


@app.command()
def resend(
    event_ids: Annotated[list[str] | None, typer.Argument(help="The mails' events, from `onefold mails list`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were given up until now.")] = False,
) -> None:
    """Plan them anew; their incidents are closed. Exit 1 if one of them was not given up."""
    if bool(event_ids) == everything:
        raise typer.BadParameter("name mails, or say --all")
    planned, others = access.run(_resend(event_ids))
    for event_id in others:
        typer.echo(f"{event_id} is no mail that was given up", err=True)
    typer.echo(f"{planned} planned")
    raise typer.Exit(1 if others else 0)


async def _unsent(limit: int) -> list[dict[str, Any]]:
    async with access.database_of("emails") as database:
        return await store.unsent(database, limit)


async def _resend(event_ids: Sequence[str] | None) -> tuple[int, list[str]]:
    """How many were planned, and which were not; None: all that were given up."""
    now = SystemClock().now()
    async with access.database_of("emails") as database:
        ids = event_ids or [row["event_id"] for row in await store.unsent(database, ALL)]
        others = [each for each in ids if not await plan_again(database, each, access.OPERATOR, now)]
    return len(ids) - len(others), others
