"""The service on a database of the test's own, and a Printful of its own."""

from collections.abc import AsyncIterator, Callable

import pytest

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.testing import settings_for
from services.fulfillment.config import FulfillmentSettings
from simulators.app import serve
from simulators.settings import SimulatorSettings
from tests.component.fulfillment.warehouse import Warehouse, open_warehouse


@pytest.fixture
async def warehouse(database: Callable[[str], Access], clock: ManualClock) -> AsyncIterator[Warehouse]:
    settings = settings_for(FulfillmentSettings, database("fulfillment").serving, pool_size=8)
    async with serve(SimulatorSettings(deliver=False)) as sim, open_warehouse(settings, sim, clock) as opened:
        yield opened
