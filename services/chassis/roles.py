"""What `python -m services.<name> {serve|relay|consume|jobs|all}` does; a service brings a table of its roles.

Why: every process starts in the same way, and a role loads what it needs and no more (F-62): import inside of its
function.
"""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

import uvloop

from services.chassis.clock import Clock, SystemClock
from services.chassis.config import ConfigurationError, ServiceSettings, load, service_of
from services.chassis.db import Database
from services.chassis.process import Component, collect_rarely, run
from services.chassis.telemetry import configure_logging

S = TypeVar("S", bound=ServiceSettings)
Make = Callable[[Database, S, Clock, AsyncExitStack], Component]
ALL = "all"


def main(settings_class: type[S], roles: Mapping[str, Make[S]], *, default: str | None = None) -> None:
    """Read the role and the settings, then run that role, or all of them in one process, until SIGTERM.

    A role pushes what is to be closed after the last component has stopped onto the exit stack. Without `default` the
    role must be named.
    """
    collect_rarely()
    service = service_of(settings_class)
    program = settings_class.__module__.rpartition(".")[0]
    parser = argparse.ArgumentParser(prog=program, description=f"A process of {service}.")
    parser.add_argument("role", choices=[*roles, ALL], nargs="?" if default else None, default=default)
    role = parser.parse_args().role
    try:
        settings = load(settings_class)
    except ConfigurationError as error:
        parser.exit(2, f"{error}\n")
    configure_logging(service, settings.log_level)
    uvloop.run(_work(list(roles.values()) if role == ALL else [roles[role]], settings))


async def _work(chosen: list[Make[S]], settings: S) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as at_exit:
        database = await Database.connect(settings)
        at_exit.push_async_callback(database.close)
        await run([make(database, settings, clock, at_exit) for make in chosen], settings)
