"""`onefold docs`: documents that are generated, so that they cannot lag behind.

Why: a catalogue that is written by hand is wrong from its second week on.
"""

from typing import Annotated

import typer

app = typer.Typer(help="Generate documents, or check that they are up to date.", no_args_is_help=True)


@app.callback()
def docs() -> None:
    """Generate documents, or check that they are up to date."""


@app.command()
def events(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if docs/events.md is out of date.")
    ] = False,
) -> None:
    """The catalogue of events: producer, key, fields, consumers."""
    from ops import catalogue

    catalogue.events(check=check)
