"""outbox-drain: 200,000 rows to Kafka, acks=all, idempotent.

Why: after an outage this decides how long everybody hears old news.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from functools import partial
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer

from bench import harness
from bench.events import FILL, PACKAGE, TYPE, order_created
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.kafka import PARTITIONS, ends, producer
from bench.load import Stopwatch
from bench.world import World
from services.chassis.outbox import Relay
from services.chassis.outbox.murmur import partitions_of
from services.chassis.testing import settings_for
from services.orders.config import OrdersSettings

NAME: Final = "outbox-drain"
ROWS: Final = 200_000
TOPIC: Final = "onefold.orders.v1"
LONGEST_S: Final = 60.0
AT_ONCE: Final = 4_000
READ: Final = (
    "SELECT position, id::text, aggregateid, type, payload, occurred_at FROM outbox ORDER BY position LIMIT 100"
)
DELETE: Final = "DELETE FROM outbox WHERE position = $1"
READ_ALL: Final = "SELECT position, id::text, aggregateid, type, payload, occurred_at FROM outbox ORDER BY position"


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark. Ours and the limit carry all rows; the peer as many as it can in the time of a round."""
    sides: dict[str, Side] = {
        OURS: partial(_counted, world, partial(_relay, world)),
        PEER: partial(_counted, world, partial(_row_by_row, world)),
        LIMIT: partial(_counted, world, partial(_produce, world)),
    }
    samples = await harness.interleaved(sides, plan)
    return harness.by_rate(NAME, "events/s", GOALS[NAME], samples)


async def _counted(world: World, drain: Callable[[float], Awaitable[Sample]], seconds: float) -> Sample:
    """Fill the outbox, drain it, and find in Kafka what was drained: each once, and no longer in the table."""
    await world.sql("orders", "TRUNCATE outbox")
    await world.sql("orders", FILL, PACKAGE, TYPE, order_created().SerializeToString(), ROWS)
    await world.sql("orders", "ANALYZE outbox")
    before = await ends(world.bootstrap, TOPIC)
    sample = await drain(seconds)
    harness.require("records in Kafka", await ends(world.bootstrap, TOPIC) - before, sample.done)
    return sample


async def _relay(world: World, seconds: float) -> Sample:
    settings = settings_for(OrdersSettings, world.dsn("orders"), kafka_bootstrap=world.bootstrap)
    relay = Relay(settings, TOPIC)
    try:
        async with asyncio.timeout(LONGEST_S):
            while not await relay._lead():  # connected before the clock starts, like the others
                await asyncio.sleep(0.05)
        started, done = time.perf_counter(), 0
        while relayed := await relay.run_once():
            done += relayed
        took = time.perf_counter() - started
    finally:
        await relay.close()
    harness.require("rows left", await world.count("orders", "outbox"), 0)
    return Sample(done, took)


async def _row_by_row(world: World, seconds: float) -> Sample:
    """Read a page; send each row, wait for its ack, delete it: correct, ordered, one round trip after another."""
    connection = await asyncpg.connect(world.dsn("orders"))
    kafka = producer(world.bootstrap)
    await kafka.start()
    done, started = 0, time.perf_counter()
    try:
        while time.perf_counter() - started < seconds:
            for row in await connection.fetch(READ):
                await kafka.send_and_wait(TOPIC, row["payload"], key=row["aggregateid"].encode(), headers=headers(row))
                await connection.execute(DELETE, row["position"])
                done += 1
        took = time.perf_counter() - started
    finally:
        await kafka.stop()
        await connection.close()
    harness.require("rows left", await world.count("orders", "outbox"), ROWS - done)
    return Sample(done, took)


async def _produce(world: World, seconds: float) -> Sample:
    """The same records from memory by aiokafka's batches, prepared beforehand: no database, no translation."""
    rows = await world.sql("orders", READ_ALL)
    prepared: defaultdict[int, list[tuple[bytes, bytes, Any]]] = defaultdict(list)
    keys = [row["aggregateid"].encode() for row in rows]
    for row, key, place in zip(rows, keys, partitions_of(keys, PARTITIONS), strict=True):
        prepared[place].append((key, row["payload"], headers(row)))
    kafka = producer(world.bootstrap)
    await kafka.start()
    try:
        watch = Stopwatch()
        await asyncio.gather(*(_send(kafka, place, records) for place, records in prepared.items()))
        return watch.sample(len(rows))
    finally:
        await kafka.stop()


async def _send(kafka: AIOKafkaProducer, partition: int, records: Sequence[tuple[bytes, bytes, Any]]) -> None:
    """One partition's records in full batches, one after the other."""
    for first in range(0, len(records), AT_ONCE // 8):
        batch = kafka.create_batch()
        for key, value, added in records[first : first + AT_ONCE // 8]:
            if batch.append(key=key, value=value, timestamp=None, headers=added) is None:
                raise RuntimeError("a batch is too small for its records")
        batch.close()
        await (await kafka.send_batch(batch, TOPIC, partition=partition))


def headers(row: Any) -> list[tuple[str, bytes]]:
    """The same headers that our relay writes."""
    event_id = row["id"].encode()
    return [
        ("id", event_id),
        ("ce_id", event_id),
        ("ce_type", row["type"].encode()),
        ("ce_source", b"onefold/orders"),
        ("ce_time", row["occurred_at"].astimezone(UTC).isoformat().encode()),
        ("ce_specversion", b"1.0"),
    ]
