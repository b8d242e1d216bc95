"""The service on a database of the test's own, with inventory, and with payments where a test wants it."""

from collections.abc import AsyncIterator, Callable

import pytest

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from tests.component.orders.shop import Shop, open_shop


@pytest.fixture
async def shop(database: Callable[[str], Access], clock: ManualClock) -> AsyncIterator[Shop]:
    """Payments is away."""
    async with open_shop(database, clock) as opened:
        yield opened
