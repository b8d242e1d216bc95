import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.chassis.clock import ManualClock
from services.chassis.consumer import (
    KEY_PARKED,
    MissingOutcome,
    TooManyParked,
    discard,
    inspect,
    list_parked,
    parked_keys,
    redrive,
)
from services.chassis.consumer.records import Unreadable
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.incidents import list_open
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import (
    CONSUMER,
    POISON,
    SOMEBODY_WAITS,
    TOPIC,
    applier,
    apply,
    effects,
    event,
    ids,
    inbox_rows,
)

pytestmark = pytest.mark.requirement("R-5.6")


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
