"""The service on a database of the test's own, with inventory, and with payments where a test wants it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import asyncpg
import pytest
from onefold.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server

from ops.local import templates
from ops.local.blocking import blocking
from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.grpc_server import Server
from services.chassis.testing import settings_for
from services.payments.config import PaymentsSettings
from simulators.app import serve
from simulators.settings import SimulatorSettings
from tests.component.orders.shop import Shop, listening, open_shop
from tests.component.payments.counter import Counter, open_counter

TABLES = """
SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'migration'
"""


@pytest.fixture(scope="session")
def kept(postgres_dsn: str) -> Iterator[dict[str, Access]]:
    """Databases of this worker, by service: cloning three for each of a hundred tests would cost a minute."""
    made: dict[str, Access] = {}
    yield made
    templates.drop(postgres_dsn, [access.name for access in made.values()])


@pytest.fixture
def emptied(postgres_dsn: str, kept: dict[str, Access]) -> Callable[[str], Access]:
    """`emptied("orders")`: a database without rows."""

    def give(service: str) -> Access:
        if service not in kept:
            kept[service] = templates.clone(postgres_dsn, service)
            return kept[service]
        blocking(_empty(urlsplit(postgres_dsn)._replace(path=f"/{kept[service].name}").geturl()))
        return kept[service]

    return give


async def _empty(dsn: str) -> None:
    """Delete all rows but those about migrations; as superuser, for triggers and foreign keys must not hinder it."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = [row["name"] for row in await connection.fetch(TABLES)]
        deletes = "; ".join(f'DELETE FROM "{table}"' for table in tables)
        await connection.execute(f"SET session_replication_role = replica; {deletes}")
    finally:
        await connection.close()


@pytest.fixture
async def shop(emptied: Callable[[str], Access], clock: ManualClock) -> AsyncIterator[Shop]:
    """Payments is away."""
    async with open_shop(emptied, clock) as opened:
        yield opened


@pytest.fixture
async def house(emptied: Callable[[str], Access]) -> AsyncIterator[tuple[Shop, Counter]]:
    """Payments is there, with Stripe's simulator behind it, whose clock is the machine's."""
    clock = ManualClock(datetime.now(UTC))
    settings = settings_for(PaymentsSettings, emptied("payments").serving, pool_size=8, provider_timeout_ms=2_000)
    async with serve(SimulatorSettings(deliver=False)) as sim, open_counter(settings, sim, clock) as counter:
        server = Server(settings)
        server.add(add_PaymentsServiceServicer_to_server, counter.servicer)
        async with (
            listening(server) as address,
            open_shop(emptied, clock, payments_target=address) as shop,
        ):
            yield shop, counter
