"""How an operator's commands reach a running Onefold: its databases and its calls.

Why: addresses, tokens and settings are those of the services themselves, so that a command does what a service would.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, Final, NoReturn, TypeVar

import asyncpg
import grpc
import typer
from aiokafka.errors import KafkaError

from ops.local import environment
from ops.local.child import LocalStackError
from services.chassis.clock import Clock, SystemClock
from services.chassis.config import ConfigurationError, ServiceSettings, load
from services.chassis.consumer import Handler
from services.chassis.db import Database
from services.chassis.grpc_client import channel

T = TypeVar("T")
# Consumers with an inbox; the module whose `config` holds the settings, and the settings' class.
SERVICES: Final = {
    "orders": ("services.orders", "OrdersSettings"),
    "inventory": ("services.inventory", "InventorySettings"),
    "payments": ("services.payments", "PaymentsSettings"),
    "fulfillment": ("services.fulfillment", "FulfillmentSettings"),
    "emails": ("consumers.emails", "EmailsSettings"),
}
OPERATOR: Final = "operator"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command in the environment of the local stack, where ours says nothing else.

    What keeps it from its work is told in one line, and exit code 2: it found nothing out, neither good nor bad.
    """
    for name, value in environment.current().items():
        os.environ.setdefault(name, value)
    try:
        return asyncio.run(work)
    except (ConfigurationError, LocalStackError) as error:
        stop(str(error))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError) as error:
        stop(f"{type(error).__name__}: {error}")
    except OSError as error:  # time-outs and lost connections are among them
        stop(f"cannot be reached: {str(error) or type(error).__name__}")
    except grpc.aio.AioRpcError as error:
        stop(f"{error.code().name}: {error.details()}")


def stop(why: str) -> NoReturn:
    """End the command: it could not do its work."""
    typer.echo(f"onefold: {why}", err=True)
    raise SystemExit(2)


def settings_of(service: str) -> ServiceSettings:
    """The settings of a service, from the environment. Raises ConfigurationError."""
    module, name = SERVICES[service]
    settings_class: type[ServiceSettings] = getattr(import_module(f"{module}.config"), name)
    return load(settings_class)


@asynccontextmanager
async def database_of(service: str) -> AsyncIterator[Database]:
    """The database of a service, as its serving role; of its settings only the address is needed."""
    url = os.environ.get(_url_of(service), "")
    if not url:
        raise ConfigurationError(f"{_url_of(service)} is not set, and no stack is running here")
    database = await Database.connect(ServiceSettings(profile="demo", database_url=url))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def calls_to(service: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a service, as the operator."""
    prefix = f"ONEFOLD_{OPERATOR.upper()}"
    try:
        target, token = os.environ[f"{prefix}_{service.upper()}_TARGET"], os.environ[f"{prefix}_TOKEN"]
    except KeyError as error:
        raise ConfigurationError(f"{error.args[0]} is not set, and no stack is running here") from None
    async with channel(target, token) as opened:
        yield opened


@asynccontextmanager
async def handler_of(service: str) -> AsyncIterator[Handler]:
    """What the consumer of a service does with events."""
    settings, clock = settings_of(service), SystemClock()
    async with AsyncExitStack() as at_exit:
        yield _HANDLERS[service](settings, clock, at_exit)


def chosen(service: str) -> Sequence[str]:
    """One service, or all whose database is known, for an empty name. Raises ConfigurationError if there is none."""
    if service and service not in SERVICES:
        raise ConfigurationError(f"{service} is none of {', '.join(SERVICES)}")
    found = [service] if service else [name for name in SERVICES if os.environ.get(_url_of(name))]
    if not found:
        raise ConfigurationError("no stack is running here, and no ONEFOLD_<SERVICE>_DATABASE_URL is set")
    return found


def admit_unseen(service: str) -> None:
    """Name the services that nobody could look at, and end with exit code 2 if there are some."""
    unseen = [name for name in SERVICES if name not in chosen(service)] if not service else []
    if unseen:
        stop(f"not looked at: {', '.join(unseen)} (no {_url_of('<service>')})")


def admit_more(found: Sequence[object], limit: int) -> None:
    """Say that there is more than is shown."""
    if len(found) > limit:
        typer.echo(f"there are more; --limit {10 * limit} shows them", err=True)


def _url_of(service: str) -> str:
    return f"ONEFOLD_{service.upper()}_DATABASE_URL"


def _orders(settings: Any, clock: Clock, at_exit: AsyncExitStack) -> Handler:
    from services.orders.events import EventsDoor

    return EventsDoor(clock, settings.policies)


def _inventory(settings: Any, clock: Clock, at_exit: AsyncExitStack) -> Handler:
    from services.inventory.events import handler

    return handler(clock)


def _payments(settings: Any, clock: Clock, at_exit: AsyncExitStack) -> Handler:
    from services.payments.__main__ import context_of
    from services.payments.events import handler

    return handler(context_of(settings, clock, at_exit))


def _fulfillment(settings: Any, clock: Clock, at_exit: AsyncExitStack) -> Handler:
    from services.fulfillment.__main__ import context_of
    from services.fulfillment.events import handler

    return handler(context_of(settings, clock, at_exit))


def _emails(settings: Any, clock: Clock, at_exit: AsyncExitStack) -> Handler:
    from consumers.emails.events import handler

    return handler(clock, settings.event_age_max)


_HANDLERS: Final[dict[str, Callable[[Any, Clock, AsyncExitStack], Handler]]] = {
    "orders": _orders,
    "inventory": _inventory,
    "payments": _payments,
    "fulfillment": _fulfillment,
    "emails": _emails,
}
