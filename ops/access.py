"""How an operator's commands reach a running Onefold: its databases and its calls.

Why: addresses, tokens and settings are those of the services themselves, so that a command does what a service would.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, Final, TypeVar

import grpc

from ops.local import environment
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
    """Run a command in the environment of the local stack, where ours says nothing else; errors in one line."""
    for name, value in environment.current().items():
        os.environ.setdefault(name, value)
    try:
        return asyncio.run(work)
    except ConfigurationError as error:
        raise SystemExit(f"onefold: {error}") from None
    except (ConnectionError, OSError) as error:
        raise SystemExit(f"onefold: cannot be reached: {error}") from None
    except grpc.aio.AioRpcError as error:
        raise SystemExit(f"onefold: {error.code().name}: {error.details()}") from None


def settings_of(service: str) -> ServiceSettings:
    """The settings of a service, from the environment. Raises ConfigurationError."""
    module, name = SERVICES[service]
    settings_class: type[ServiceSettings] = getattr(import_module(f"{module}.config"), name)
    return load(settings_class)


@asynccontextmanager
async def database_of(service: str) -> AsyncIterator[Database]:
    """The database of a service, as its serving role."""
    database = await Database.connect(settings_of(service))
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
    """One service, or all of them for an empty name. Raises ConfigurationError for an unknown one."""
    if service and service not in SERVICES:
        raise ConfigurationError(f"{service} is none of {', '.join(SERVICES)}")
    return [service] if service else [name for name in SERVICES if f"ONEFOLD_{name.upper()}_DATABASE_URL" in os.environ]


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
