"""A consumer that waits for the database holds up no event, and one that catches up is not taken for dead."""

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
from tests.component.chassis.test_consumer import consume, consumer, publish

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


@pytest.mark.requirement("F-38")
async def test_a_partition_whose_turn_has_not_come_is_not_stalled(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    """After an outage aiokafka hands over one partition after the other; here each look finds most where they were."""
    await publish(db, relay, *(sent(f"order-{number % 40}") for number in range(400)))
    reader = consumer(db, settings.model_copy(update={"consumer_batch_max": 10}), clock)
    try:
        await consume(reader, 1)
        kafka = reader._kafka
        assert kafka is not None
        await wait_until(lambda: all(kafka.highwater(place) for place in kafka.assignment()), within=15)
        reader._stall_after_s = 0.0  # it looks before every batch
        while len(await effects(db)) < 400:
            assert await reader.run_once()
    finally:
        await reader.close()


async def _are_there(db: Database, expected: list[str]) -> bool:
    return await effects(db) == expected
