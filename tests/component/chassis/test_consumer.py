import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import Consumer, Handler, Stalled, list_parked, loop
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.outbox import OutgoingEvent, Relay, append
from services.chassis.testing import running, wait_until
from tests.component.chassis.messaging import CONSUMER, TOPIC, apply, effects, inbox_rows, sent

pytestmark = pytest.mark.requirement("R-5.1")

GROUP = "onefold.reader"


@pytest.fixture
def settings(on_kafka: ServiceSettings) -> ServiceSettings:
    return on_kafka


def consumer(
    db: Database, settings: ServiceSettings, clock: ManualClock, handler: Handler = apply, **options: Any
) -> Consumer:
    return Consumer(
        name=CONSUMER,
        group=GROUP,
        topics=[TOPIC],
        database=db,
        settings=settings,
        handler=handler,
        clock=clock,
        **options,
    )


async def publish(db: Database, relay: Relay, *events: OutgoingEvent) -> list[str]:
    async with db.transaction() as tx:
        await append(tx, events)
    await relay.run_once()
    return [event.id for event in events]


async def consume(reader: Consumer, wanted: int) -> None:
    got = 0

    async def enough() -> bool:
        nonlocal got
        got += await reader.run_once()
        return got >= wanted

    await wait_until(enough, within=15)


async def committed(settings: ServiceSettings) -> int:
    """Sum of the group's committed offsets."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.topic_prefix}{GROUP}",
        enable_auto_commit=False,
    )
    await reader.start()
    try:
        places = [TopicPartition(f"{settings.topic_prefix}{TOPIC}", partition) for partition in range(8)]
        return sum([await reader.committed(place) or 0 for place in places])
    finally:
        await reader.stop()


async def test_events_of_all_keys_arrive_once_and_in_order(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    events = [sent(f"order-{number % 10}") for number in range(600)]
    await publish(db, relay, *events)
    reader = consumer(db, settings, clock)
    try:
        await consume(reader, len(events))
        assert reader.ready()
    finally:
        await reader.close()
    for key in {event.key for event in events}:
        assert await effects(db, key) == [event.id for event in events if event.key == key]
    assert await committed(settings) == len(events)
    row = await db.fetchrow("SELECT DISTINCT topic FROM inbox")
    assert row is not None
    assert row["topic"] == TOPIC


@pytest.mark.requirement("S-25")
async def test_a_crash_between_the_two_commits_repeats_nothing(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await publish(db, relay, sent("order-1"), sent("order-2"))
    dying = consumer(db, settings, clock)
    with monkeypatch.context() as crash:
        crash.setattr(AIOKafkaConsumer, "commit", _crash)
        with pytest.raises(asyncio.CancelledError):
            await consume(dying, 2)
    await dying.close()
    assert sorted(await effects(db)) == sorted(first)
    assert await committed(settings) == 0
    second = await publish(db, relay, sent("order-1"))
    reader = consumer(db, settings, clock)
    try:
        await consume(reader, 3)
    finally:
        await reader.close()
    assert sorted(await effects(db)) == sorted([*first, *second])


async def _crash(*_: object) -> None:
    raise asyncio.CancelledError


@pytest.mark.requirement("S-26")
async def test_after_broken_plumbing_the_same_records_come_again(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    failures = [ConnectionResetError("gone") for _ in range(3)]

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        if failures:
            raise failures.pop()
        return await apply(tx, fresh)

    events = [sent("order-1") for _ in range(5)]
    await publish(db, relay, *events)
    reader = consumer(db, settings, clock, handler)
    async with running(reader):
        await wait_until(lambda: db.fetchval("SELECT count(*) = 5 FROM effects"), within=15)
    assert await effects(db) == [event.id for event in events]
    assert await list_parked(db) == []
    assert not reader.ready()


@pytest.mark.requirement("S-26")
async def test_too_many_parked_keys_halt_it_without_ending_the_process(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    async def handler(_tx: Transaction, _fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        raise ValueError("a bug")

    await publish(db, relay, *(sent(f"order-{number}") for number in range(10)))
    few = settings.model_copy(update={"parked_keys_per_minute_max": 3})
    reader = consumer(db, few, clock, handler)
    async with running(reader) as task:
        await wait_until(reader.ready, within=15)
        await wait_until(lambda: not reader.ready(), within=15)
        assert not task.done()
        assert len(await list_parked(db)) == 3
    assert await committed(settings) < 10


@pytest.mark.requirement("S-27")
async def test_records_that_are_no_events_are_parked(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    topic = f"{settings.topic_prefix}{TOPIC}"
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"no key", partition=5)
        await producer.send_and_wait(topic, b"no headers", key=b"order-1")
        await producer.send_and_wait(topic, None, key=b"\xff\xfe", partition=5)
        await producer.send_and_wait(topic, b"", key=b"order-3", headers=[("ce_id", None)])
    finally:
        await producer.stop()
    good = await publish(db, relay, sent("order-2"))
    reader = consumer(db, settings, clock)
    try:
        await consume(reader, 5)
    finally:
        await reader.close()
    assert {parked.key for parked in await list_parked(db)} == {
        "partition 5 offset 0",
        "partition 5 offset 1",
        "order-1",
        "order-3",
    }
    assert await effects(db) == good


async def test_a_rebalance_loses_and_repeats_nothing(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    small = settings.model_copy(update={"consumer_batch_max": 10})
    stop = asyncio.Event()
    readers = [consumer(db, small, clock) for _ in range(2)]
    events = [sent(f"order-{number % 40}") for number in range(400)]
    await publish(db, relay, *events[:200])
    tasks = [asyncio.create_task(readers[0].run(stop))]
    try:
        await wait_until(lambda: db.fetchval("SELECT count(*) >= 50 FROM effects"), within=15)
        tasks.append(asyncio.create_task(readers[1].run(stop)))
        await publish(db, relay, *events[200:])
        await wait_until(lambda: db.fetchval("SELECT count(*) >= 400 FROM effects"), within=20)
        await wait_until(readers[1].ready, within=15)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert len(await inbox_rows(db)) == 400
    for key in {event.key for event in events}:
        assert await effects(db, key) == [event.id for event in events if event.key == key]


@pytest.mark.requirement("S-26")
async def test_what_was_read_ahead_of_a_batch_that_failed_comes_again(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    failures = 0

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        nonlocal failures
        ahead = {place.partition for place in reader._ahead.firsts}
        if failures < 3 and ahead - {event.partition for event in fresh}:
            failures += 1
            raise ConnectionResetError
        return await apply(tx, fresh)

    events = [sent(f"order-{number % 40}") for number in range(400)]
    await publish(db, relay, *events)
    reader = consumer(db, settings.model_copy(update={"consumer_batch_max": 10}), clock, handler)
    async with running(reader, within=20):
        await wait_until(lambda: db.fetchval("SELECT count(*) >= 400 FROM effects"), within=20)
    assert failures
    for key in {event.key for event in events}:
        assert await effects(db, key) == [event.id for event in events if event.key == key]
    assert await committed(settings) == len(events)


async def test_a_stop_waits_for_no_poll(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, poll = asyncio.Event(), AIOKafkaConsumer.getmany

    async def seen(kafka: AIOKafkaConsumer, *, timeout_ms: int, max_records: int) -> dict[Any, Any]:
        if timeout_ms and await db.fetchval("SELECT count(*) FROM effects"):
            waits.set()
        return dict(await poll(kafka, timeout_ms=timeout_ms, max_records=max_records))

    monkeypatch.setattr(loop, "_POLL_MS", 60_000)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", seen)
    await publish(db, relay, sent("order-1"))
    async with running(consumer(db, settings, clock), within=20):
        await asyncio.wait_for(waits.wait(), 15)
    assert await committed(settings) == 1


async def test_a_client_that_brings_nothing_although_there_is_something_ends_the_process(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(db, relay, sent("order-1"))
    reader = consumer(db, settings, clock, stall_after_s=0.0)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", _nothing)
    with pytest.raises(Stalled):
        await asyncio.wait_for(reader.run(asyncio.Event()), 15)


async def _nothing(*_: object, **__: object) -> dict[Any, Any]:
    await asyncio.sleep(0)
    return {}


async def test_an_idle_consumer_is_not_stalled(
    db: Database, settings: ServiceSettings, clock: ManualClock, relay: Relay
) -> None:
    await publish(db, relay, sent("order-1"))
    reader = consumer(db, settings, clock)
    try:
        await consume(reader, 1)
    finally:
        await reader.close()
    idle = consumer(db, settings, clock, stall_after_s=0.0)
    try:
        assert [await idle.run_once() for _ in range(3)] == [0, 0, 0]
    finally:
        await idle.close()
