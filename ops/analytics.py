"""`onefold analytics`: questions about the archive of all events.

Why: whoever runs the shop asks without knowing where the files are, and nothing that sells waits for the answer.
"""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from consumers.analytics import query
from ops.local.environment import current
from ops.local.paths import state_folder

PIPED_WIDTH: Final = 250


def analytics(
    question: Annotated[str, typer.Argument(help="What to ask; without it, what can be asked.")] = "",
    folder: Annotated[Path | None, typer.Option(help="The archive; by default that of the local stack.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 100,
) -> None:
    """Ask the archive: orders by day, revenue, refunds, stock, funnel. Times are in UTC, amounts in minor units."""
    if not question:
        typer.echo("\n".join(query.names()))
        return
    archive = folder or Path(current().get("ONEFOLD_ANALYTICS_FOLDER", state_folder() / "analytics"))
    if not archive.is_dir():
        typer.echo(f"there is no archive at {archive}", err=True)
        raise typer.Exit(2)
    try:
        answer = query.query(question, archive, limit=limit + 1)
    except query.UnknownQuestion as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    table = Table(*answer.columns, box=None, header_style="bold")
    for row in answer.rows[:limit]:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)
    if len(answer.rows) > limit:
        typer.echo(f"there are more; --limit {10 * limit} shows them", err=True)
