"""outbox-latency: from an event's commit to the broker's ack, at 500 events a second.

Why: a checkout crosses the outbox several times, and each crossing is a wait of the customer's.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench import harness
from bench.goals import GOALS
from bench.harness import Plan, Result, Spread
from bench.kafka import producer
from bench.outbox_drain import TOPIC, headers
from bench.world import World
from bench.writer import committed
from services.chassis.outbox import Relay
from services.chassis.testing import settings_for
from services.orders.config import OrdersSettings

NAME: Final = "outbox-latency"
PER_SECOND: Final = 500
POLL_S: Final = 0.1
SYNCS: Final = 50
READ: Final = (
    "SELECT position, id::text, aggregateid, type, payload, occurred_at FROM outbox ORDER BY position LIMIT 1000"
)
DELETE: Final = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"
Times = dict[str, float]


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark: relay, poller and fdatasync in turns; the writer, a process of its own, is the same for both."""
    settings = settings_for(OrdersSettings, world.dsn("orders"), kafka_bootstrap=world.bootstrap)
    ours: list[list[float]] = []
    peer: list[list[float]] = []
    syncs: list[float] = []
    for number in range(plan.rounds + 1):
        seconds = plan.seconds if number else 0.5
        await world.sql("orders", "TRUNCATE outbox")
        async with _relay(settings) as acked:
            relayed = await _waits(world, acked, seconds)
        async with _poller(world) as acked:
            polled = await _waits(world, acked, seconds)
        if number:
            ours.append(relayed)
            peer.append(polled)
        syncs.append(await asyncio.to_thread(fdatasync_s, world.stack.postgres.place))
    every = sorted(each for of_round in ours for each in of_round)
    p50 = [harness.percentile(of_round, 0.5) * 1000 for of_round in ours]
    p99 = [harness.percentile(of_round, 0.99) * 1000 for of_round in ours]
    polls = [harness.percentile(of_round, 0.5) * 1000 for of_round in peer]
    disk = [1000 * each for each in syncs[1:]]
    return Result(
        name=NAME,
        unit="ms",
        goal=GOALS[NAME],
        ours=Spread.of(p50),
        peer=Spread.of(polls),
        limit=Spread.of(disk),
        over_peer=harness.ratios(p50, polls),
        over_limit=harness.ratios(p99, disk),
        p50_ms=harness.percentile(every, 0.5) * 1000,
        p99_ms=harness.percentile(every, 0.99) * 1000,
        rounds=len(ours),
        notes=["ours and peer: p50; limit: one fdatasync; ours/limit: p99 in fdatasyncs"],
    )


def fdatasync_s(folder: Path) -> float:
    """How long the disk takes to keep 8 KiB, in seconds; the median of SYNCS."""
    took: list[float] = []
    file = os.open(folder / "fdatasync", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(file, b"x" * 8192, 0)
            os.fdatasync(file)
            took.append(time.perf_counter() - started)
    finally:
        os.close(file)
        (folder / "fdatasync").unlink()
    return harness.percentile(sorted(took), 0.5)


async def _waits(world: World, acked: Times, seconds: float) -> list[float]:
    """Commit events at a pace; from each commit's return to its ack, in ascending order."""
    times = await committed(world, PER_SECOND, seconds)
    async with asyncio.timeout(30):
        while not times.keys() <= acked.keys():
            await asyncio.sleep(0.01)
    harness.require("events acknowledged", len(acked.keys() & times.keys()), len(times))
    harness.require("rows left", await _left(world), 0)
    return sorted(max(acked[event_id] - at, 0.0) for event_id, at in times.items())


async def _left(world: World) -> int:
    """Rows in the outbox, once the last delete had its time."""
    await asyncio.sleep(2 * POLL_S)
    return await world.count("orders", "outbox")


@asynccontextmanager
async def _relay(settings: OrdersSettings) -> AsyncIterator[Times]:
    """Our relay runs; when Kafka acknowledged each event."""
    relay, stop, acked = Relay(settings, TOPIC), asyncio.Event(), Times()
    async with asyncio.timeout(30):
        while not await relay._lead():
            await asyncio.sleep(0.05)
    publisher = relay._publisher
    assert publisher is not None
    publish = publisher.publish

    async def timed(rows: Sequence[Mapping[str, Any]]) -> None:
        await publish(rows)
        now = time.perf_counter()
        acked.update((row["id"], now) for row in rows)

    setattr(publisher, "publish", timed)  # noqa: B010 - seen from outside, for this measurement only
    running = asyncio.create_task(relay.run(stop))
    try:
        yield acked
    finally:
        stop.set()
        await running


@asynccontextmanager
async def _poller(world: World) -> AsyncIterator[Times]:
    """The rival looks every 100 ms, sends all that it finds at once, deletes it."""
    acked = Times()
    connection = await asyncpg.connect(world.dsn("orders"))
    kafka = producer(world.bootstrap)
    await kafka.start()

    async def poll() -> None:
        while True:
            rows = await connection.fetch(READ)
            if rows:
                sent = [
                    await kafka.send(TOPIC, row["payload"], key=row["aggregateid"].encode(), headers=headers(row))
                    for row in rows
                ]
                await asyncio.gather(*sent)
                now = time.perf_counter()
                acked.update((row["id"], now) for row in rows)
                await connection.execute(DELETE, [row["position"] for row in rows])
            await asyncio.sleep(POLL_S)

    running = asyncio.create_task(poll())
    try:
        yield acked
    finally:
        running.cancel()
        await asyncio.wait({running})
        await kafka.stop()
        await connection.close()
