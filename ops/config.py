"""`onefold config`: every setting of every process, with its default and what it means.

Why: what can be set is found in one place, and never has to be read out of code.
"""

from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isclass
from typing import Annotated, Final

import typer
from pydantic_settings import BaseSettings
from rich.console import Console

from ops.local.environment import Ports, variable
from services.chassis.config import Setting, describe, service_of

MODULES: Final = (
    "services.orders.config",
    "services.inventory.config",
    "services.payments.config",
    "services.fulfillment.config",
    "gateway.config",
    "consumers.emails.config",
    "consumers.analytics.config",
    "simulators.settings",
    "ops.local.smtp",
)


def config(
    process: Annotated[str, typer.Argument(help="Only this process, such as `payments`.")] = "",
) -> None:
    """Print all settings: environment variable, default, meaning."""
    console = Console(highlight=False, soft_wrap=True)
    all_settings = {service_of(each): described(each) for each in settings_classes()} | {"onefold": command_settings()}
    if process not in ("", *all_settings):
        typer.echo(f"{process} is none of {', '.join(all_settings)}", err=True)
        raise typer.Exit(2)
    for name in [process] if process else all_settings:
        console.print(f"\n[bold]{name}[/bold]")
        for setting in all_settings[name]:
            console.print(f"  {setting.variable} = {setting.default}\n      {setting.description}", markup=False)


def command_settings() -> list[Setting]:
    """What the command itself and its local stack obey."""
    reached = ("orders", "inventory", "payments", "fulfillment")
    ports = {"postgres": Ports().postgres, "kafka": Ports().kafka}
    return [
        Setting("ONEFOLD_STATE_DIR", "Path", ".onefold", "databases, events, mails and logs of `onefold up`"),
        Setting("ONEFOLD_CACHE_DIR", "Path", ".onefold/cache", "what was downloaded: Kafka"),
        *(Setting(variable(name), "int", str(port), f"port of {name} of `onefold up`") for name, port in ports.items()),
        *(
            Setting(
                f"ONEFOLD_OPERATOR_{name.upper()}_TARGET", "str", "the local stack's", f"where operators call {name}"
            )
            for name in reached
        ),
        Setting("ONEFOLD_OPERATOR_TOKEN", "SecretStr", "the local stack's", "what operators show to services"),
    ]


def settings_classes() -> Iterator[type[BaseSettings]]:
    """The settings class of each process; a process has exactly one, defined in its own module."""
    for name in MODULES:
        module = import_module(name)
        for _, member in getmembers(module, isclass):
            if issubclass(member, BaseSettings) and member.__module__ == name:
                yield member


def described(settings_class: type[BaseSettings]) -> list[Setting]:
    """The settings of a class, sorted: what must be set first."""
    return sorted(describe(settings_class), key=lambda setting: setting.default != "required")
