"""A consumer that waits for the database holds up no event."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.outbox import Relay
from services.chassis.testing import settings_for, wait_until
from tests.component.chassis.messaging import TOPIC, apply, effects, sent
from tests.component.chassis.test_consumer import consumer, publish

pytestmark = pytest.mark.requirement("R-5.1")


@pytest.fixture
def settings(access: Access, kafka_bootstrap: str, topic_prefix: str) -> ServiceSettings:
    return settings_for(ServiceSettings, access.serving, kafka_bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)


@pytest.fixture
async def relay(settings: ServiceSettings) -> AsyncIterator[Relay]:
    made = Relay(settings, TOPIC)
    yield made
    await made.close()


async def test_what_comes_while_the_database_works_is_taken_from_kafka_at_once(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    """Where events lie untaken for 100 ms, aiokafka leaves their partition out of the next long poll."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        begun.set()
        await goes_on.wait()
        return await apply(tx, fresh)

    reader, stop = consumer(db, settings, clock, handler), asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    try:
        expected = await publish(db, relay, sent("order-1"))
        await asyncio.wait_for(begun.wait(), 15)
        expected += await publish(db, relay, sent("order-1"))
        await wait_until(lambda: reader._ahead.items)
        goes_on.set()
        await wait_until(lambda: _are_there(db, expected))
    finally:
        goes_on.set()
        stop.set()
        await running


async def _are_there(db: Database, expected: list[str]) -> bool:
    return await effects(db) == expected
