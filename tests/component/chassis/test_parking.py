import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import pytest

from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import (
    KEY_PARKED,
    Handler,
    MissingOutcome,
    TooManyParked,
    discard,
    inspect,
    list_parked,
    parked_keys,
    redrive,
)
from services.chassis.consumer.apply import Applier, Item
from services.chassis.consumer.records import Unreadable
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.incidents import list_open
from services.chassis.testing import open_database, wait_until
from tests.component.chassis.messaging import (
    CONSUMER,
    POISON,
    SOMEBODY_WAITS,
    TOPIC,
    AnswerLost,
    apply,
    effects,
    event,
    inbox_rows,
)

pytestmark = pytest.mark.requirement("R-5.6")


def applier(db: Database, clock: ManualClock, handler: Handler = apply, parked_max: int = 20) -> Applier:
    return Applier(consumer=CONSUMER, database=db, handler=handler, clock=clock, parked_per_minute_max=parked_max)


def ids(*events: Item) -> list[str]:
    return [one.id for one in events if isinstance(one, IncomingEvent)]


@pytest.mark.requirement("S-25")
async def test_a_batch_is_applied_once_in_one_transaction_and_in_offset_order(db: Database, clock: ManualClock) -> None:
    events = [event(f"order-{offset % 3}", offset) for offset in range(9)]
    batches: list[Sequence[IncomingEvent]] = []

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        batches.append(fresh)
        return await apply(tx, fresh)

    consumer = applier(db, clock, handler)
    await consumer.apply(events)
    await consumer.apply(events)
    await consumer.apply([*events[5:], event("order-1", 9)])
    assert [len(batch) for batch in batches] == [9, 1]
    assert (await effects(db))[:9] == ids(*events)
    assert await db.fetchval("SELECT count(DISTINCT xmin::text) FROM effects") == 2


@pytest.mark.requirement("S-25")
async def test_every_event_read_is_claimed_with_its_outcome(db: Database, clock: ManualClock) -> None:
    events = [event(offset=offset) for offset in range(4)]
    outcomes = dict(zip(ids(*events), Outcome, strict=True))

    async def handler(_tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        return outcomes

    await applier(db, clock, handler).apply(events)
    assert await inbox_rows(db) == {event_id: outcome.value for event_id, outcome in outcomes.items()}


@pytest.mark.requirement("S-25")
async def test_an_event_that_the_handler_forgot_is_not_silent(db: Database, clock: ManualClock) -> None:
    async def handler(_tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        return {one.id: Outcome.APPLIED for one in fresh if one.offset != 1}

    events = [event("order-1", 0), event("order-2", 1)]
    await applier(db, clock, handler).apply(events)
    (parked,) = await list_parked(db)
    assert parked.key == "order-2"
    assert MissingOutcome.__name__ in parked.reason
    assert await inbox_rows(db) == {events[0].id: "APPLIED"}


@pytest.mark.requirement("S-26")
@pytest.mark.requirement("S-27")
async def test_a_poison_event_parks_its_key_and_the_others_flow(db: Database, clock: ManualClock) -> None:
    before = event("order-1", 0)
    poison = event("order-1", 1, payload=POISON)
    after = event("order-1", 3)
    others = [event("order-2", 2), event("order-2", 4)]
    consumer = applier(db, clock)
    await consumer.apply([before, poison, others[0], after, others[1]])
    assert await effects(db) == ids(before, *others)
    assert await parked_keys(db, CONSUMER, ["order-1", "order-2"]) == {"order-1"}
    waiting = await inspect(db, CONSUMER, TOPIC, "order-1")
    assert [one.event for one in waiting] == [poison, after]
    assert waiting[0].reason.startswith("Undecodable: ")
    assert waiting[1].reason == ""
    (incident,) = await list_open(db, kind=KEY_PARKED)
    assert incident.order_id == "order-1"
    assert incident.details["type"] == poison.type
    assert incident.opened_at == clock.now()


@pytest.mark.requirement("S-27")
async def test_later_events_of_a_parked_key_wait_and_are_never_claimed(db: Database, clock: ManualClock) -> None:
    consumer = applier(db, clock)
    await consumer.apply([event("order-1", 0, payload=POISON)])
    later = [event("order-1", 1), event("order-2", 2), event("order-1", 3)]
    await consumer.apply(later)
    await consumer.apply(later)
    assert await effects(db) == ids(later[1])
    assert set(await inbox_rows(db)) == {later[1].id}
    (parked,) = await list_parked(db, CONSUMER)
    assert parked.events == 3
    other_topic = event("order-1", 0, topic="onefold.payments.v1")
    await consumer.apply([other_topic])
    assert await effects(db, "order-1") == ids(other_topic)


@pytest.mark.requirement("S-27")
async def test_a_redrive_applies_all_in_order_and_unparks(db: Database, clock: ManualClock) -> None:
    broken = True

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        if broken and any(one.offset == 1 for one in fresh):
            raise ValueError("a bug")
        return await apply(tx, fresh)

    events = [event("order-1", offset) for offset in range(600)]
    consumer = applier(db, clock, handler)
    for start in range(0, 600, 200):
        await consumer.apply(events[start : start + 200])
    assert await effects(db) == ids(events[0])
    failed = await redrive(db, CONSUMER, TOPIC, "order-1", handler)
    assert failed.failure == "ValueError: a bug"
    broken = False
    rehearsed = await redrive(db, CONSUMER, TOPIC, "order-1", handler, dry_run=True)
    assert (rehearsed.parked, len(rehearsed.outcomes), rehearsed.failure) == (True, 599, "")
    assert await effects(db) == ids(events[0])
    redriven = await redrive(db, CONSUMER, TOPIC, "order-1", handler)
    assert redriven.outcomes == dict.fromkeys(ids(*events[1:]), Outcome.APPLIED)
    assert await effects(db) == ids(*events)
    assert await list_parked(db) == []
    assert await list_open(db, kind=KEY_PARKED) == []
    assert not (await redrive(db, CONSUMER, TOPIC, "order-1", handler)).parked
    await consumer.apply(events[-3:])
    assert await effects(db) == ids(*events)


@pytest.mark.requirement("S-27")
async def test_a_consumer_waits_for_a_redrive_and_comes_after_it(db: Database, clock: ManualClock) -> None:
    poison, later = event("order-1", 0, payload=POISON), event("order-1", 1)
    consumer = applier(db, clock)
    await consumer.apply([poison])
    in_redrive, go_on = asyncio.Event(), asyncio.Event()

    async def mended(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        in_redrive.set()
        await go_on.wait()
        return await apply(tx, [event("order-1", 0, id=poison.id)])

    redriving = asyncio.create_task(redrive(db, CONSUMER, TOPIC, "order-1", mended))
    await in_redrive.wait()
    consuming = asyncio.create_task(consumer.apply([later]))
    await wait_until(lambda: db.fetchval(SOMEBODY_WAITS))
    assert not consuming.done()
    go_on.set()
    await asyncio.gather(redriving, consuming)
    assert await effects(db) == ids(poison, later)
    assert await list_parked(db) == []


@pytest.mark.requirement("S-27")
async def test_a_record_without_a_readable_key_is_parked_by_its_place(db: Database, clock: ManualClock) -> None:
    nameless = Unreadable(TOPIC, 3, 17, "partition 3 offset 17", "", b"?", "the record has no key")
    fine = event("order-1", 18)
    await applier(db, clock).apply([nameless, fine])
    assert await effects(db) == ids(fine)
    (parked,) = await list_parked(db)
    assert (parked.key, parked.reason) == ("partition 3 offset 17", "ValueError: the record has no key")
    failed = await redrive(db, CONSUMER, TOPIC, parked.key, apply)
    assert failed.failure.startswith("UnreadableEvent")


async def test_a_person_can_discard_one_event_and_redrive_the_rest(db: Database, clock: ManualClock) -> None:
    poison, later = event("order-1", 0, payload=POISON), event("order-1", 1)
    await applier(db, clock).apply([poison, later])
    assert not await discard(db, CONSUMER, TOPIC, "order-1", (0, 7), actor="ada")
    assert not await discard(db, CONSUMER, TOPIC, "order-9", (0, 0), actor="ada")
    assert await discard(db, CONSUMER, TOPIC, "order-1", (0, 0), actor="ada")
    assert (await redrive(db, CONSUMER, TOPIC, "order-1", apply)).failure == ""
    assert await inbox_rows(db) == {poison.id: "IGNORED", later.id: "APPLIED"}
    row = await db.fetchrow("SELECT closed_by, order_id FROM incidents WHERE kind = 'event_discarded'")
    assert row is not None
    assert tuple(row) == ("ada", "order-1")


@pytest.mark.requirement("S-26")
async def test_too_many_parked_keys_within_a_minute_stop_the_consumer(db: Database, clock: ManualClock) -> None:
    consumer = applier(db, clock, parked_max=3)
    with pytest.raises(TooManyParked):
        await consumer.apply([event(f"order-{offset}", offset, payload=POISON) for offset in range(5)])
    assert len(await list_parked(db)) == 3


LOST = [
    ConnectionResetError("gone"),
    TimeoutError(),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.ConnectionDoesNotExistError("08003"),
    asyncpg.ReadOnlySQLTransactionError("25006"),
    asyncpg.TooManyConnectionsError("53300"),
    asyncpg.LockNotAvailableError("55P03"),
    asyncpg.AdminShutdownError("57P01"),
    asyncpg.exceptions.PostgresIOError("58030"),
]


@pytest.mark.requirement("S-26")
@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
async def test_broken_plumbing_parks_nothing_and_the_whole_batch_comes_again(
    db: Database, clock: ManualClock, error: Exception
) -> None:
    failures = [error]

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        outcomes = await apply(tx, fresh)
        if failures:
            raise failures.pop()
        return outcomes

    events = [event("order-1", 0), event("order-2", 1)]
    consumer = applier(db, clock, handler)
    with pytest.raises(type(error)):
        await consumer.apply(events)
    assert await list_parked(db) == []
    assert await effects(db) == []
    await consumer.apply(events)
    assert await effects(db) == ids(*events)


@pytest.mark.requirement("S-26")
async def test_a_statement_that_always_times_out_is_tried_alone_and_then_parked(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    sizes: list[int] = []

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        sizes.append(len(fresh))
        if any(one.key == "order-1" for one in fresh):
            await tx.execute("SET LOCAL statement_timeout = 1")
            await tx.execute("SELECT count(*) FROM generate_series(1, 100000000)")
        return await apply(tx, fresh)

    events = [event("order-2", 0), event("order-1", 1), event("order-3", 2)]
    consumer = applier(db, clock, handler)
    for _ in range(3):
        with pytest.raises(asyncpg.QueryCanceledError):
            await consumer.apply(events)
    assert sizes == [3, 3, 3]
    for _ in range(2):
        with pytest.raises(asyncpg.QueryCanceledError):
            await consumer.apply(events)
    assert await list_parked(db) == []
    await consumer.apply(events)
    assert [parked.key for parked in await list_parked(db)] == ["order-1"]
    assert await effects(db) == ids(events[0], events[2])


@pytest.mark.requirement("S-29")
async def test_a_commit_whose_answer_was_lost_is_recognised_and_not_repeated(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    events = [event("order-1", 0), event("order-2", 1)]
    async with open_database(settings) as opened:
        lossy = AnswerLost.of(opened)
        consumer = applier(lossy, clock)
        with pytest.raises(ConnectionResetError):
            await consumer.apply(events)
        assert await effects(db) == ids(*events)
        await consumer.apply(events)
    assert await effects(db) == ids(*events)


@pytest.mark.requirement("S-29")
async def test_a_redrive_whose_answer_was_lost_is_not_repeated(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    poison, later = event("order-1", 0, payload=POISON), event("order-1", 1)
    await applier(db, clock).apply([poison, later])
    await discard(db, CONSUMER, TOPIC, "order-1", (0, 0), actor="ada")
    async with open_database(settings) as opened:
        lossy = AnswerLost.of(opened)
        with pytest.raises(ConnectionResetError):
            await redrive(lossy, CONSUMER, TOPIC, "order-1", apply)
        assert not (await redrive(lossy, CONSUMER, TOPIC, "order-1", apply)).parked
    assert await effects(db) == ids(later)
