"""A plain grpc.aio server with a pool: what every tutorial ends with.

Why: the rival pays for nothing that it does not have: no door, no validation, no tokens.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import grpc.aio
from google.protobuf.message import Message

from services.chassis.ids import new_id

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

POOL: Final = 16
APPEND: Final = """
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, occurred_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
# As our own sessions have them (F-28, F-57), so that neither side plans or waits differently.
SESSION: Final = {"plan_cache_mode": "force_custom_plan", "statement_timeout": "10s", "lock_timeout": "5s"}
Make = Callable[["asyncpg.Pool[asyncpg.Record]"], tuple[Callable[[Any, Any], None], object]]


async def open_pool(dsn: str, size: int = POOL) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool whose connections are all open."""
    return await asyncpg.create_pool(dsn, min_size=size, max_size=size, server_settings=SESSION)


async def append_event(connection: Connection, message: Message, key: str, now: datetime) -> None:
    """One event into the outbox."""
    name = message.DESCRIPTOR.full_name
    await connection.execute(APPEND, new_id(), name.rpartition(".")[0], key, name, message.SerializeToString(), now)


def main(service: str, make: Make) -> None:
    """Serve on the given port with a pool on the service's database, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    asyncio.run(_serve(os.environ[f"ONEFOLD_{service.upper()}_DATABASE_URL"], parser.parse_args().port, make))


async def _serve(dsn: str, port: int, make: Make) -> None:
    pool = await open_pool(dsn)
    server = grpc.aio.server()
    add, servicer = make(pool)
    add(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(None)
    await pool.close()
