"""`onefold config`: every setting of every process, with its default and what it means.

Why: what can be set is found in one place, and never has to be read out of code.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from inspect import getmembers, isclass
from typing import Annotated, Final

import typer
from pydantic_settings import BaseSettings
from rich.console import Console

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
    for settings_class in settings_classes():
        if process not in ("", service_of(settings_class)):
            continue
        console.print(f"\n[bold]{service_of(settings_class)}[/bold]")
        for setting in described(settings_class):
            console.print(f"  {setting.variable} = {setting.default}\n      {setting.description}", markup=False)


def settings_classes() -> Iterator[type[BaseSettings]]:
    """The settings class of each process; a process has exactly one, defined in its own module."""
    for name in MODULES:
        if not _exists(name):
            continue
        module = import_module(name)
        for _, member in getmembers(module, isclass):
            if issubclass(member, BaseSettings) and member.__module__ == name:
                yield member


def described(settings_class: type[BaseSettings]) -> list[Setting]:
    """The settings of a class, sorted: what must be set first."""
    return sorted(describe(settings_class), key=lambda setting: setting.default != "required")


def _exists(name: str) -> bool:
    parents = name.split(".")
    return all(find_spec(".".join(parents[: end + 1])) is not None for end in range(len(parents)))
