"""The `onefold` command.

Why: one door for everything that a person does with a running Onefold.
"""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _onefold() -> None:
    """One checkout becomes one payment, one order, one shipment: never two, never zero."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
