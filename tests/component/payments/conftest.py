"""The service on a database of the test's own, and a provider of its own."""

from collections.abc import AsyncIterator, Callable

import pytest

from ops.local.databases import Access
from services.chassis.testing import settings_for
from services.payments.config import PaymentsSettings
from simulators.app import RunningSimulators, serve
from simulators.settings import SimulatorSettings
from tests.component.payments.counter import Counter, open_counter


@pytest.fixture
def settings(database: Callable[[str], Access]) -> PaymentsSettings:
    return settings_for(PaymentsSettings, database("payments").serving, pool_size=8)


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulators]:
    async with serve(SimulatorSettings(deliver=False)) as running:
        yield running


@pytest.fixture
async def counter(settings: PaymentsSettings, sim: RunningSimulators) -> AsyncIterator[Counter]:
    async with open_counter(settings, sim) as opened:
        yield opened
