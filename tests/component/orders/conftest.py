"""The service on a database of the test's own, with inventory, and with payments where a test wants it."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from onefold.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.grpc_server import Server
from services.chassis.testing import settings_for
from services.payments.config import PaymentsSettings
from simulators.app import serve
from simulators.settings import SimulatorSettings
from tests.component.orders.shop import Shop, listening, open_shop
from tests.component.payments.counter import Counter, open_counter


@pytest.fixture
async def shop(database: Callable[[str], Access], clock: ManualClock) -> AsyncIterator[Shop]:
    """Payments is away."""
    async with open_shop(database, clock) as opened:
        yield opened


@pytest.fixture
async def house(database: Callable[[str], Access]) -> AsyncIterator[tuple[Shop, Counter]]:
    """Payments is there, with Stripe's simulator behind it, whose clock is the machine's."""
    clock = ManualClock(datetime.now(UTC))
    settings = settings_for(PaymentsSettings, database("payments").serving, pool_size=8, provider_timeout_ms=2_000)
    async with serve(SimulatorSettings(deliver=False)) as sim, open_counter(settings, sim, clock) as counter:
        server = Server(settings)
        server.add(add_PaymentsServiceServicer_to_server, counter.servicer)
        async with (
            listening(server) as address,
            open_shop(database, clock, payments_target=address) as shop,
        ):
            yield shop, counter
