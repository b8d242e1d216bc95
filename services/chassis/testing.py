"""What the tests of every service need.

Why: a test opens databases and servers as a process does, and waits for a condition with a deadline, never for a time.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc.aio

from services.chassis.config import ServiceSettings
from services.chassis.db import Database
from services.chassis.grpc_client import channel
from services.chassis.grpc_server import Server

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
