"""inbox: from Kafka to a claimed event and its effect.

Why: every fact enters every service this way, and "once" must not cost a transaction per event.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from onefold.orders.v1 import orders_events_pb2

from bench import harness
from bench.events import TYPE, order_created
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.kafka import consumer, new_topic, producer
from bench.load import Stopwatch
from bench.peers.serving import open_pool
from bench.world import World
from services.chassis import inbox
from services.chassis.clock import SystemClock
from services.chassis.consumer import Consumer, parking
from services.chassis.db import Database, Transaction
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.testing import open_database, settings_for
from services.inventory.config import InventorySettings

NAME: Final = "inbox"
EVENTS_PER_SECOND: Final = 40_000  # more than any side takes in: the topic never runs dry
MOST_EVENTS: Final = 200_000
BATCH: Final = 256
TABLE: Final = """
CREATE TABLE IF NOT EXISTS bench_effects (
    order_id uuid PRIMARY KEY, version bigint NOT NULL, total_minor bigint NOT NULL
)
"""
GRANT: Final = "GRANT ALL ON bench_effects TO PUBLIC"
EFFECT: Final = """
INSERT INTO bench_effects (order_id, version, total_minor)
SELECT DISTINCT ON (order_id) *
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS e (order_id, version, total_minor)
 ORDER BY order_id, version DESC
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, total_minor = excluded.total_minor
"""
CLAIM_ONE: Final = """
INSERT INTO inbox (consumer, event_id, topic, kafka_partition, kafka_offset) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING 1
"""
EFFECT_ONE: Final = """
INSERT INTO bench_effects (order_id, version, total_minor) VALUES ($1, $2, $3)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, total_minor = excluded.total_minor
"""


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark: each side reads the same topic as a group of its own, in every round from the start."""
    topic = f"bench.{new_id()}"
    await new_topic(world.bootstrap, topic)
    count = min(MOST_EVENTS, int(EVENTS_PER_SECOND * plan.seconds))
    await _fill(world, topic, count)
    await world.sql("inventory", TABLE)
    await world.sql("inventory", GRANT)
    settings = settings_for(InventorySettings, world.dsn("inventory"), kafka_bootstrap=world.bootstrap, pool_size=4)
    async with open_database(settings) as database:
        sides: dict[str, Side] = {
            OURS: partial(_counted, world, partial(_ours, settings, database, topic)),
            PEER: partial(_counted, world, partial(_one_by_one, world, topic)),
            LIMIT: partial(_counted, world, partial(_bare, database)),
        }
        samples = await harness.interleaved(sides, plan)
    return harness.by_rate(NAME, "events/s", GOALS[NAME], samples)


async def _counted(world: World, side: Callable[[float], Awaitable[Sample]], seconds: float) -> Sample:
    await world.sql("inventory", "TRUNCATE inbox, bench_effects")
    sample = await side(seconds)
    harness.require("claims", await world.count("inventory", "inbox"), sample.done)
    harness.require("effects", await world.count("inventory", "bench_effects"), sample.done)
    return sample


async def _fill(world: World, topic: str, count: int) -> None:
    kafka = producer(world.bootstrap)
    await kafka.start()
    try:
        for _ in range(0, count, 1_000):
            records = [_record() for _ in range(1_000)]
            await asyncio.gather(*[await kafka.send(topic, value, key, headers=head) for value, key, head in records])
    finally:
        await kafka.stop()


def _record() -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Value, key and headers of one event."""
    message = order_created()
    pairs = {
        "ce_id": new_id(),
        "ce_type": TYPE,
        "ce_source": "onefold/orders",
        "ce_time": "2026-11-21T10:00:00Z",
        "ce_specversion": "1.0",
    }
    headers = [(name, value.encode()) for name, value in pairs.items()]
    return message.SerializeToString(), message.context.order_id.encode(), headers


async def _ours(settings: InventorySettings, database: Database, topic: str, seconds: float) -> Sample:
    """The consumer of the chassis, as every service runs it; the clock starts when the first batch is done."""
    applied: list[tuple[float, int]] = []

    async def counted(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        applied.append((time.perf_counter(), len(events)))
        return await apply(tx, events)

    reader = Consumer(
        name="bench",
        group=f"bench-{new_id()}",
        topics=[topic],
        database=database,
        settings=settings,
        handler=counted,
        clock=SystemClock(),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    async with asyncio.timeout(60):
        while not applied:
            await asyncio.sleep(0.001)
    await asyncio.sleep(seconds)
    stop.set()
    await running
    counts = [count for _, count in applied]
    return Sample(sum(counts), (applied[-1][0] - applied[0][0]) * sum(counts) / sum(counts[:-1]))


async def apply(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
    """The effect: one row per order."""
    messages = [orders_events_pb2.OrderCreated.FromString(event.payload) for event in events]
    await tx.execute(
        EFFECT,
        [message.context.order_id for message in messages],
        [message.context.version for message in messages],
        [message.total.amount_minor for message in messages],
    )
    return {event.id: Outcome.APPLIED for event in events}


async def _one_by_one(world: World, topic: str, seconds: float) -> Sample:
    """One message, one transaction, then its offset."""
    pool = await open_pool(world.dsn("inventory"), 1)
    kafka = consumer(world.bootstrap, topic, f"bench-{new_id()}", BATCH)
    await kafka.start()
    try:
        messages = aiter(kafka)
        message = await anext(messages)
        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            event = orders_events_pb2.OrderCreated.FromString(message.value)
            event_id = dict(message.headers)["ce_id"].decode()
            async with pool.acquire() as connection, connection.transaction():
                place = (message.topic, message.partition, message.offset)
                if await connection.fetchval(CLAIM_ONE, "bench", event_id, *place):
                    context = event.context
                    await connection.execute(EFFECT_ONE, context.order_id, context.version, event.total.amount_minor)
            await kafka.commit()
            done += 1
            message = await anext(messages)
    finally:
        await kafka.stop()
        await pool.close()
    return Sample(done, elapsed)


async def _bare(database: Database, seconds: float) -> Sample:
    """The set-based statements alone, on events that are in memory already."""
    done = 0
    prepared = [_batch(number) for number in range(int(EVENTS_PER_SECOND * seconds / BATCH))]
    watch = Stopwatch()
    for events in prepared:
        if time.perf_counter() - watch.started >= seconds:
            break
        orders = [event.key for event in events]
        async with database.transaction() as tx:
            await parking.lock_markers(tx, "bench", [(event.topic, event.key) for event in events])
            await inbox.claim(tx, "bench", events)
            await tx.execute(EFFECT, orders, [1] * len(events), [2_895] * len(events))
        done += len(events)
    return watch.sample(done)


def _batch(number: int) -> list[IncomingEvent]:
    now = SystemClock().now()
    return [
        IncomingEvent(new_id(), TYPE, "", now, new_id(), "bench", 0, BATCH * number + place, "", b"")
        for place in range(BATCH)
    ]
