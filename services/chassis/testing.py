"""What the tests of every service need.

Why: a test opens databases and servers as a process does, and waits for a condition with a deadline, never for a time.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.chassis.config import ServiceSettings
from services.chassis.consumer import Handler
from services.chassis.db import Database
from services.chassis.grpc_client import channel
from services.chassis.grpc_server import Server
from services.chassis.inbox import IncomingEvent, Outcome, claim, record
from services.chassis.outbox import outgoing
from services.chassis.process import Component

CALLER = "demo"
TOKEN = "token-of-the-tests"
_STEP_S = 0.01
AnySettings = TypeVar("AnySettings", bound=ServiceSettings)


def settings_for(settings_class: type[AnySettings], database_url: str = "", **changes: Any) -> AnySettings:
    """Settings of the profile `test`: any free ports, one caller (CALLER, TOKEN); `changes` by field name."""
    values = {"caller_tokens": {CALLER: TOKEN}, "token": TOKEN, "port": 0, "pool_size": 4, **changes}
    return settings_class(profile="test", database_url=database_url, **values)


@asynccontextmanager
async def open_database(settings: ServiceSettings) -> AsyncIterator[Database]:
    """A Database that is closed at the end."""
    database = await Database.connect(settings)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def serving(
    settings: ServiceSettings, servicers: Mapping[Callable[[Any, Any], None], object], *, token: str = TOKEN
) -> AsyncIterator[grpc.aio.Channel]:
    """A real server on a free port, and a channel to it: `serving(settings, {add_XServicer_to_server: servicer})`."""
    server = Server(settings)
    for add_to_server, servicer in servicers.items():
        server.add(add_to_server, servicer)
    await server.start()
    try:
        async with channel(f"{settings.host}:{server.port}", token) as opened:
            yield opened
    finally:
        await server.stop()


@asynccontextmanager
async def running(component: Component, *, within: float = 10.0) -> AsyncIterator[asyncio.Task[None]]:
    """A component that runs meanwhile; it must come to an end `within` so many seconds after it was told to stop."""
    stop = asyncio.Event()
    task = asyncio.create_task(component.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, within)


async def wait_until(condition: Callable[[], Any | Awaitable[Any]], *, within: float = 5.0) -> Any:
    """Ask `condition` until it is true, and return what it said; AssertionError after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if loop.time() >= deadline:
            raise AssertionError(f"not true within {within} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(_STEP_S)


def incoming(message: Message, *, key: str = "", topic: str = "onefold.orders.v1", offset: int = 0) -> IncomingEvent:
    """A message as a consumer would get it, with an id of its own."""
    out = outgoing(message, key=key, now=datetime.now(UTC))
    return IncomingEvent(
        id=out.id,
        type=out.type,
        source="test",
        time=out.occurred_at,
        key=key,
        topic=topic,
        partition=0,
        offset=offset,
        traceparent="",
        payload=out.payload,
    )


async def hear(
    database: Database, consumer: str, handler: Handler, events: Sequence[IncomingEvent]
) -> dict[str, Outcome]:
    """Apply events as the consumer does, in one transaction; event id -> outcome, for those not heard before."""
    async with database.transaction() as tx:
        outcomes = dict(await handler(tx, await claim(tx, consumer, events)))
        await record(tx, consumer, outcomes)
    return outcomes


async def said(database: Database, key: str) -> list[Message]:
    """The events of one key that wait in the outbox, in order."""
    rows = await database.fetch("SELECT type, payload FROM outbox WHERE aggregateid = $1 ORDER BY position", key)
    messages = []
    for row in rows:
        message = GetMessageClass(Default().FindMessageTypeByName(row["type"]))()
        message.ParseFromString(row["payload"])
        messages.append(message)
    return messages
