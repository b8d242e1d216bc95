"""The `onefold` command.

Why: one door for everything that a person does with Onefold; each command is imported when it is called, so that the
quick ones stay quick.
"""

from importlib import import_module
from typing import Final

import typer
from typer.core import TyperCommand, TyperGroup

# Command to `module:attribute`; the attribute is a function with typer's annotations, or a typer.Typer of commands.
COMMANDS: Final = {
    "demo": "ops.demo:demo",
    "up": "ops.up:up",
    "down": "ops.up:down",
    "audit": "ops.audit:audit",
    "incidents": "ops.incidents:app",
    "parked": "ops.parked:app",
    "mails": "ops.mails:app",
    "refunds": "ops.refunds:app",
    "replay": "ops.replay:replay",
    "reconcile": "ops.reconcile:reconcile",
    "analytics": "ops.analytics:analytics",
    "bench": "ops.bench:bench",
    "config": "ops.config:config",
    "docs": "ops.docs:app",
}


class LazyGroup(TyperGroup):
    """Commands from the table above."""

    def list_commands(self, ctx: object) -> list[str]:
        """In the table's order: from first steps to daily work."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """The command's function, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            group = typer.main.get_group(target)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(target)
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand)
        return command


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback()
def onefold() -> None:
    """One checkout becomes one payment, one order, one stock movement, one shipment: never two, never zero."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
