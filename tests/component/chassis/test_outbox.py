from datetime import UTC, datetime

import asyncpg
import pytest

from services.chassis.db import Database
from services.chassis.outbox import append, events
from services.chassis.telemetry import new_traceparent, traced
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import NOW, sent

pytestmark = [pytest.mark.requirement("R-5.1"), pytest.mark.requirement("S-24")]


@pytest.mark.requirement("R-5.2")
async def test_positions_follow_the_order_of_the_call(db: Database) -> None:
    appended = [sent(f"order-{number % 7}") for number in range(500)]
    shuffled = sorted(appended, key=lambda event: event.id[::-1])
    async with db.transaction() as tx:
        await append(tx, shuffled)
    rows = await db.fetch("SELECT id::text FROM outbox ORDER BY position")
    assert [row["id"] for row in rows] == [event.id for event in shuffled]


async def test_an_event_is_stored_as_debezium_names_it(db: Database) -> None:
    with traced(new_traceparent()):
        event = sent("order-1", datetime(2026, 3, 1, tzinfo=UTC))
    async with db.transaction() as tx:
        await append(tx, [event])
    row = await db.fetchrow("SELECT * FROM outbox")
    assert row is not None
    assert str(row["id"]) == event.id
    assert row["aggregatetype"] == "onefold.orders.v1"
    assert row["aggregateid"] == "order-1"
    assert row["type"] == "onefold.orders.v1.OrderConfirmed"
    assert row["payload"] == event.payload
    assert row["occurred_at"] == datetime(2026, 3, 1, tzinfo=UTC)
    assert row["traceparent"] == event.traceparent != ""


async def test_an_event_vanishes_with_the_transaction_that_made_it_true(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await append(tx, [sent("order-1")])
            _ = 1 / 0
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_event_of_half_a_mebibyte_is_refused(db: Database) -> None:
    largest = events.OutgoingEvent("0190aaaa-0000-7000-8000-000000000001", "a.B", "k", b"x" * 524_287, NOW, "")
    async with db.transaction() as tx:
        await append(tx, [largest])
    too_large = events.OutgoingEvent("0190aaaa-0000-7000-8000-000000000002", "a.B", "k", b"x" * 524_288, NOW, "")
    with pytest.raises(asyncpg.CheckViolationError):
        async with db.transaction() as tx:
            await append(tx, [too_large])


async def test_an_append_notifies_at_its_commit(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_throttle", events.Throttle())
    heard: list[str] = []
    listener = await asyncpg.connect(db.dsn)
    try:
        await listener.add_listener(events.CHANNEL, lambda *_: heard.append("woken"))
        async with db.transaction() as tx:
            await append(tx, [sent("order-1")])
            await listener.execute("SELECT 1")
            assert heard == []
        await wait_until(lambda: heard == ["woken"])
    finally:
        await listener.close()


async def test_an_append_does_not_notify_while_another_is_about_to(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(events, "_throttle", events.Throttle(lambda: now[0]))
    heard: list[str] = []
    listener = await asyncpg.connect(db.dsn)
    try:
        await listener.add_listener(events.CHANNEL, lambda *_: heard.append("woken"))
        async with db.transaction() as about_to_notify:
            await append(about_to_notify, [sent("order-1")])
            for pause in (events.NOTIFY_SOONEST_S, events.NOTIFY_PAUSE_S):
                now[0] += pause
                async with db.transaction() as tx:
                    await append(tx, [sent("order-2")])
                await listener.execute("SELECT 1")
                assert len(heard) == (pause == events.NOTIFY_PAUSE_S)
        await wait_until(lambda: len(heard) == 2)
    finally:
        await listener.close()


@pytest.mark.requirement("F-29")
def test_a_process_notifies_in_any_case_at_most_every_few_milliseconds() -> None:
    now = [100.0]
    throttle = events.Throttle(lambda: now[0])
    assert [throttle.due() for _ in range(100)] == [(True, True)] + 99 * [(False, False)]
    now[0] += events.NOTIFY_SOONEST_S
    assert [throttle.due() for _ in range(100)] == [(True, False)] + 99 * [(False, False)]
    now[0] += events.NOTIFY_PAUSE_S
    assert throttle.due() == (True, True)
