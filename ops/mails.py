"""`onefold mails`: mails that were given up, and another try.

Why: an address is corrected or a mail server mended by a person, and then nothing but this should be needed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from consumers.emails import store
from consumers.emails.config import EmailsSettings
from consumers.emails.jobs import resend as plan_again
from ops.local.environment import current
from services.chassis.clock import SystemClock
from services.chassis.db import Database

T = TypeVar("T")
app = typer.Typer(help="List mails that were given up, and send them again.", no_args_is_help=True)


@app.command("list")
def unsent(limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 100) -> None:
    """Mails that were given up: no address, refused by the mail server, or out of tries."""
    rows = _with_database(lambda database: store.unsent(database, limit))
    table = Table("event", "kind", "about", "state", "tries", "why", box=None, header_style="bold")
    for row in rows:
        told = (row[name] for name in ("event_id", "kind", "subject", "state", "tries", "last_error"))
        table.add_row(*(str(value) for value in told))
    Console(highlight=False, soft_wrap=True).print(table if rows else "none")


@app.command()
def resend(event_id: Annotated[str, typer.Argument(help="The mail's event, from `onefold mails list`.")]) -> None:
    """Plan one of them anew; its incident is closed."""
    now = SystemClock().now()
    if not _with_database(lambda database: plan_again(database, event_id, "operator", now)):
        typer.echo(f"{event_id} is no mail that was given up", err=True)
        raise typer.Exit(1)
    typer.echo("planned")


def _with_database(body: Callable[[Database], Awaitable[T]]) -> T:
    async def work() -> T:
        url = current()["ONEFOLD_EMAILS_DATABASE_URL"]
        database = await Database.connect(EmailsSettings(profile="demo", database_url=url))
        try:
            return await body(database)
        finally:
            await database.close()

    return asyncio.run(work())
