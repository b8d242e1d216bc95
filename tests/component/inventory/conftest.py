"""A small shop on a database of the test's own."""

from collections.abc import AsyncIterator, Callable

import pytest

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.testing import open_database, settings_for
from services.inventory.config import InventorySettings
from tests.component.inventory.shop import Shop


@pytest.fixture
def settings(database: Callable[[str], Access]) -> InventorySettings:
    return settings_for(InventorySettings, database("inventory").serving, pool_size=12)


@pytest.fixture
async def shop(settings: InventorySettings, clock: ManualClock) -> AsyncIterator[Shop]:
    async with open_database(settings) as db:
        yield Shop(db, clock)
