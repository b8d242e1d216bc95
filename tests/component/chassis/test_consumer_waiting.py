"""A consumer that waits for the database holds up no event."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.outbox import Relay
from services.chassis.testing import running, wait_until
from tests.component.chassis.messaging import apply, effects, sent
from tests.component.chassis.test_consumer import consumer, publish

pytestmark = pytest.mark.requirement("R-5.1")


@pytest.fixture
def settings(on_kafka: ServiceSettings) -> ServiceSettings:
    return on_kafka


async def test_what_comes_while_the_database_works_is_taken_from_kafka_at_once(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    """Where events lie untaken for 100 ms, aiokafka leaves their partition out of the next long poll."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        begun.set()
        await goes_on.wait()
        return await apply(tx, fresh)

    reader = consumer(db, settings, clock, handler)
    async with running(reader):
        try:
            expected = await publish(db, relay, sent("order-1"))
            await asyncio.wait_for(begun.wait(), 15)
            expected += await publish(db, relay, sent("order-1"))
            await wait_until(lambda: reader._ahead.items)
        finally:
            goes_on.set()
        await wait_until(lambda: _are_there(db, expected))


async def _are_there(db: Database, expected: list[str]) -> bool:
    return await effects(db) == expected
