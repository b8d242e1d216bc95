"""Where benchmarks run: the embedded PostgreSQL with fsync on, Kafka, a seeded shop, and the processes under test.

Why: every side uses the same servers with the same settings, and the processes are the ones of the Procfile.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc.aio
import psutil

from ops.local import paths
from ops.local.databases import database_of
from ops.local.environment import Ports, variable
from ops.local.ports import free_ports
from ops.local.stack import Stack
from services.chassis.grpc_client import channel

POOL: Final = 16
SKUS: Final = 1000
UNITS: Final = 1_000_000_000
PRICE_MINOR: Final = 1_250
READY_SECONDS: Final = 30.0
SETTINGS: Final = {
    # The same pool for everybody, and nobody writes a log line per call.
    **{f"ONEFOLD_{name}_POOL_SIZE": str(POOL) for name in ("ORDERS", "INVENTORY", "PAYMENTS")},
    **{f"ONEFOLD_{name}_LOG_LEVEL": "warning" for name in ("ORDERS", "INVENTORY", "PAYMENTS", "GATEWAY")},
    "ONEFOLD_ORDERS_SHIPPING_FEES": '{"GBP": 395}',
}
SEED: Final = """
INSERT INTO items (sku, name, available, weight_grams, variant_ids, low_stock_threshold, updated_at)
SELECT 'sku-' || g, 'Item ' || g, true, 200, '{}', 0, now() FROM generate_series(0, $1::int - 1) g
"""
SEED_PRICES: Final = """
INSERT INTO prices (sku, currency, amount_minor) SELECT sku, 'GBP', $1 FROM items
"""
SEED_STOCK: Final = """
INSERT INTO stock (sku, location, on_hand) SELECT sku, 'london', $1 FROM items
"""


@dataclass(frozen=True)
class World:
    """Running servers, and the environment of every process."""

    stack: Stack

    @property
    def environment(self) -> Mapping[str, str]:
        """All `ONEFOLD_...` variables."""
        return self.stack.environment

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.stack.kafka.bootstrap

    @property
    def token(self) -> str:
        """The token of the caller `demo`."""
        return self.stack.secrets.tokens["demo"]

    def dsn(self, service: str) -> str:
        """The serving role's address of a service's database."""
        return self.environment[f"ONEFOLD_{service.upper()}_DATABASE_URL"]

    def superuser(self, service: str) -> str:
        """The superuser's address of a service's database: only to prepare, to count and to run pgbench."""
        return self.stack.postgres.dsn(database_of(service))

    async def sql(self, service: str, statement: str, *args: Any) -> list[Any]:
        """One statement as superuser; its rows."""
        connection = await asyncpg.connect(self.superuser(service))
        try:
            return list(await connection.fetch(statement, *args))
        finally:
            await connection.close()

    async def count(self, service: str, table: str) -> int:
        """Rows of a table."""
        return int((await self.sql(service, f"SELECT count(*) FROM {table}"))[0][0])

    @asynccontextmanager
    async def process(
        self, name: str, command: Sequence[str], *, port: str, extra: Mapping[str, str] | None = None
    ) -> AsyncIterator[psutil.Process]:
        """A process until the block ends, ready when its port (`host:port`) takes connections."""
        child = self.stack.start_process(name, command, extra={"PYTHONPATH": str(Path.cwd()), **(extra or {})})
        host, _, number = port.rpartition(":")
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await _is_open(host, int(number)):
                    if child.exit_code is not None:
                        raise RuntimeError(f"{name} ended: {child.log_end()}")
                    await asyncio.sleep(0.05)
            yield psutil.Process(child.pid)
        finally:
            child.ask_to_stop()
            await asyncio.to_thread(child.wait_or_kill, timeout_seconds=10)
            self.stack.processes.pop(name, None)

    @asynccontextmanager
    async def served(
        self, name: str, module: str, *arguments: str, port: int, extra: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[grpc.aio.Channel, psutil.Process]]:
        """`python -m <module> <arguments>` that serves gRPC on `port`, with a channel to it."""
        target = f"127.0.0.1:{port}"
        async with (
            self.process(name, ["python", "-m", module, *arguments], port=target, extra=extra) as process,
            channel(target, self.token) as opened,
        ):
            yield opened, process


@contextmanager
def world() -> Iterator[World]:
    """PostgreSQL (fsync on) and Kafka in a temporary folder, with a shop of SKUS items. From the main thread."""
    folder = paths.temporary_folder("onefold-bench-", _place())
    stack = Stack(folder, Ports.free(), extra=SETTINGS, durable=True, commands={})
    try:
        stack.start_servers()
        opened = World(stack)
        asyncio.run(seed(opened.dsn("inventory")))
        yield opened
    finally:
        stack.stop()
        shutil.rmtree(stack.postgres.place, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


async def seed(inventory_dsn: str) -> None:
    """A catalogue of SKUS items at one price, with more units than any benchmark sells."""
    connection = await asyncpg.connect(inventory_dsn)
    try:
        await connection.execute(SEED, SKUS)
        await connection.execute(SEED_PRICES, PRICE_MINOR)
        await connection.execute(SEED_STOCK, UNITS)
    finally:
        await connection.close()


async def ask(dsn: str, statement: str) -> Any:
    """The first value of one statement, on a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def free_port() -> int:
    """A port that nobody uses now."""
    return free_ports(1)[0]


def at(service: str, port: int) -> dict[str, str]:
    """Variables that put a service on `port`."""
    return {variable(service): str(port)}


async def _is_open(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def _place() -> Path | None:
    """A folder on a disk: fsync into memory would measure nothing."""
    return Path("/var/tmp") if sys.platform == "linux" else None
