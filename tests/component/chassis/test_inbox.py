import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ops.local.databases import Access
from services.chassis.db import Database
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent, Outcome, Undecodable, claim, decode, record
from services.chassis.operations import PlannedOperation, operation_id, plan
from services.chassis.partitions import keep_partitions
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import CONSUMER, NOW, POISON, SOMEBODY_WAITS, event, inbox_rows

pytestmark = pytest.mark.requirement("R-5.1")


def id_at(moment: datetime) -> str:
    """A UUIDv7 of that time."""
    value = uuid.uuid4().int & ((1 << 80) - 1) & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | value))


@pytest.mark.requirement("S-25")
async def test_an_event_is_fresh_once_per_consumer(db: Database) -> None:
    events = [event(offset=2), event(offset=1), event(offset=3)]
    async with db.transaction() as tx:
        assert await claim(tx, CONSUMER, [*events, events[0]]) == events
    async with db.transaction() as tx:
        later = event(offset=4)
        assert await claim(tx, CONSUMER, [events[1], later]) == [later]
        assert await claim(tx, "another reader", events) == events


async def test_a_claim_that_is_rolled_back_leaves_the_event_fresh(db: Database) -> None:
    one = event()
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await claim(tx, CONSUMER, [one])
            _ = 1 / 0
    async with db.transaction() as tx:
        assert await claim(tx, CONSUMER, [one]) == [one]


async def test_a_rival_in_flight_is_waited_for(db: Database) -> None:
    first, second = event(offset=1), event(offset=2)

    async def claimed() -> list[IncomingEvent]:
        async with db.transaction() as tx:
            return await claim(tx, CONSUMER, [first, second])

    async with db.transaction() as tx:
        await claim(tx, CONSUMER, [first])
        rival = asyncio.create_task(claimed())
        await wait_until(lambda: db.fetchval(SOMEBODY_WAITS))
        assert not rival.done()
    assert await rival == [second]


@pytest.mark.requirement("S-4")
async def test_unsorted_claims_do_not_deadlock(db: Database) -> None:
    events = [event(offset=offset) for offset in range(1000)]

    async def claimed(backwards: bool) -> int:
        async with db.transaction() as tx:
            return len(await claim(tx, CONSUMER, events[::-1] if backwards else events))

    counts = await asyncio.gather(*(claimed(backwards=turn % 2 == 0) for turn in range(4)))
    assert sorted(counts) == [0, 0, 0, 1000]


@pytest.mark.requirement("S-25")
async def test_outcomes_are_recorded_with_the_claim(db: Database) -> None:
    events = [event(offset=offset) for offset in range(4)]
    outcomes = dict(zip((one.id for one in events), Outcome, strict=True))
    async with db.transaction() as tx:
        await claim(tx, CONSUMER, events)
        await record(tx, CONSUMER, outcomes)
    assert await inbox_rows(db) == {event_id: outcome.value for event_id, outcome in outcomes.items()}


def test_an_event_is_decoded_by_its_type() -> None:
    assert decode(event()).DESCRIPTOR.full_name == "onefold.orders.v1.OrderConfirmed"
    with pytest.raises(Undecodable, match="unknown event type onefold"):
        decode(event(type="onefold.orders.v1.OrderForgotten"))
    with pytest.raises(Undecodable, match="is not a"):
        decode(event(payload=POISON))


@pytest.mark.requirement("S-28")
async def test_partitions_are_made_ahead_and_ids_are_unique_across_them(db: Database) -> None:
    now = datetime.now(UTC)
    ids = [id_at(now), id_at(now + timedelta(days=31)), id_at(now + timedelta(days=62)), str(uuid.uuid4())]
    events = [event(id=event_id) for event_id in ids]
    async with db.transaction() as tx:
        assert len(await claim(tx, CONSUMER, events)) == 4
    rows = await db.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM inbox")
    assert len(rows) == 4
    assert "inbox_default" in {row["name"] for row in rows}
    async with db.transaction() as tx:
        assert await claim(tx, CONSUMER, events) == []
    assert await keep_partitions(db) == 0


@pytest.mark.requirement("S-28")
async def test_old_partitions_are_dropped_by_the_serving_role_and_young_rows_stay(db: Database, access: Access) -> None:
    old = datetime.now(UTC) - timedelta(days=120)
    await add_partition(access, "inbox", old)
    young = event(id=new_id())
    async with db.transaction() as tx:
        await claim(tx, CONSUMER, [event(id=id_at(old)), young, event(id=str(uuid.uuid4()))])
    assert await keep_partitions(db) == 1
    assert len(rows := await inbox_rows(db)) == 2
    assert young.id in rows


@pytest.mark.requirement("S-28")
async def test_a_partition_with_an_open_operation_is_kept(db: Database, access: Access) -> None:
    old = datetime.now(UTC) - timedelta(days=120)
    await add_partition(access, "operations", old)
    subject = id_at(old)
    async with db.transaction() as tx:
        await plan(tx, [PlannedOperation("refund", subject, 1, "stripe", b"{}", NOW)])
    assert await keep_partitions(db) == 0
    settle = "UPDATE operations SET state = 'FAILED', error_code = 'X', settled_at = $2 WHERE id = $1 RETURNING 1"
    await db.fetchval(settle, operation_id("refund", subject, 1), datetime.now(UTC) - timedelta(days=59))
    assert await keep_partitions(db) == 0
    await db.fetchval(settle, operation_id("refund", subject, 1), datetime.now(UTC) - timedelta(days=61))
    assert await keep_partitions(db) == 1


@pytest.mark.requirement("S-28")
async def test_nothing_younger_than_the_topic_and_30_days_can_be_dropped(db: Database) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await keep_partitions(db, keep_days=59)


async def add_partition(access: Access, table: str, moment: datetime) -> None:
    """The partition that was made when `moment` was present."""
    period = int(moment.timestamp()) // 86400 // 30
    first = datetime.fromtimestamp(period * 30 * 86400, UTC)
    bounds = [f"{int((first + timedelta(days=days)).timestamp() * 1000):012x}".ljust(32, "0") for days in (0, 30)]
    owner = await asyncpg.connect(access.owner)
    try:
        values = f"FROM ('{bounds[0]}') TO ('{bounds[1]}')"
        await owner.execute(f"CREATE TABLE {table}_{first:%Y%m%d} PARTITION OF {table} FOR VALUES {values}")
    finally:
        await owner.close()
