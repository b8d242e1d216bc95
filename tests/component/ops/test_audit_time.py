"""Laws of the audit about events and about what takes too long: each planted breach is exactly one line (R-6.4)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.audit.kafka import Event, Topics
from tests.component.ops.books import LONG_AGO, ORDER, Audited, name

pytestmark = pytest.mark.requirement("R-6.4")
EVENT = name("an event")
TOPIC = "onefold.orders.v1"
SINCE = "2026-03-02 09:30:00"


def published(*ids: str, read: int = 99, time: datetime | None = None) -> Topics:
    """One partition with some events, of which the groups have read all before offset `read`."""
    stamp = time or datetime.fromisoformat(LONG_AGO)
    events = [Event(id_, "Told", ORDER, TOPIC, 0, offset, stamp) for offset, id_ in enumerate(ids)]
    groups = ("onefold.inventory", "onefold.analytics")
    return Topics({(TOPIC, 0): events}, {(TOPIC, 0): 0}, {(group, TOPIC, 0): read for group in groups})


@pytest.mark.requirement("S-25")
async def test_an_event_that_was_read_and_not_applied(audited: Audited) -> None:
    async with audited("inventory") as books:
        books.witnesses["topics"] = published(EVENT)
        assert await books.lines() == [
            f"events_are_applied_once: inventory {EVENT}: Told was read and neither claimed nor parked"
        ]
        await books.claimed("inventory", EVENT, TOPIC, 0)
        assert await books.lines() == []


@pytest.mark.requirement("S-25")
async def test_an_event_that_was_applied_and_never_published(audited: Audited) -> None:
    async with audited("inventory") as books:
        books.witnesses["topics"] = published(EVENT)
        await books.claimed("inventory", EVENT, TOPIC, 0)
        await books.claimed("inventory", name("another"), TOPIC, 1)
        assert await books.lines() == [
            f"events_are_applied_once: inventory {name('another')}: was applied and is not in the topic"
        ]


@pytest.mark.requirement("S-27")
async def test_a_parked_event_is_not_lost(audited: Audited) -> None:
    async with audited("inventory") as books:
        books.witnesses["topics"] = published(EVENT)
        place = {"consumer": "inventory", "topic": TOPIC, "key": ORDER}
        rest = {
            "type": "Told",
            "source": "",
            "traceparent": "",
            "payload": "\\x",
            "reason": "bad",
            "parked_at": LONG_AGO,
        }
        await books.put("inventory", "parked_events", **place, **rest, kafka_partition=0, kafka_offset=0)
        await books.put("inventory", "parked_keys", **place, reason="bad", parked_at=LONG_AGO)
        assert await books.lines() == [
            f"keys_are_not_parked: inventory inventory/{TOPIC} {ORDER}: is parked since {SINCE}: bad"
        ]


@pytest.mark.parametrize("age", [timedelta(), timedelta(hours=1)])
async def test_events_that_nobody_reads(audited: Audited, age: timedelta) -> None:
    async with audited("inventory") as books:
        books.witnesses["topics"] = published(EVENT, read=0, time=datetime.now(UTC) - age)
        expected = [f"events_are_read: onefold.inventory {TOPIC}: 1 events are not read"]
        assert await books.lines() == (expected if age else [])
        assert await books.lines(at_rest=True) == expected


@pytest.mark.requirement("S-28")
async def test_an_event_that_is_not_in_the_archive(audited: Audited) -> None:
    async with audited() as books:
        books.witnesses |= {"topics": published(EVENT, name("another")), "archive": [(TOPIC, 0, 0)]}
        assert await books.lines() == [
            f"archive_holds_every_event_once: {TOPIC}/0/1 {name('another')}: Told was read and not archived"
        ]


@pytest.mark.requirement("S-28")
async def test_an_event_that_is_archived_twice(audited: Audited) -> None:
    async with audited() as books:
        books.witnesses |= {"topics": published(EVENT), "archive": [(TOPIC, 0, 0)] * 2}
        assert await books.lines() == [f"archive_holds_every_event_once: {TOPIC}/0/0: is archived 2 times"]


OPERATION = {
    "id": name("operation"),
    "kind": "capture",
    "subject": ORDER,
    "number": 1,
    "provider": "stripe",
    "request": "\\x",
    "idempotency_key": "capture-0001",
    "state": "UNKNOWN",
    "in_doubt": True,
    "fence": 1,
    "tries": 3,
    "key_spent": False,
    **dict.fromkeys(("error_code", "error", "traceparent"), ""),
    **dict.fromkeys(("first_sent_at", "next_try_at", "planned_at"), LONG_AGO),
}
REQUEST = {
    "caller": "shop",
    "method": "CreateOrder",
    "request_id": "r1",
    "body_hash": "\\x" + "00" * 32,
    "subject": ORDER,
    "phase": "RESERVED",
    "fence": 1,
    "holder": "h",
    **dict.fromkeys(("lease_until", "created_at", "updated_at"), LONG_AGO),
}
OUTGOING = {
    "id": EVENT,
    "aggregatetype": TOPIC,
    "aggregateid": ORDER,
    "type": "Told",
    "payload": "\\x",
    **dict.fromkeys(("occurred_at", "appended_at"), LONG_AGO),
}
WEBHOOK = {"source": "stripe", "event_id": "evt_1", "type": "charge.refunded", "raw": "\\x", "received_at": LONG_AGO}
HINT = {
    "source": "printful",
    "content_hash": "\\x00",
    "type": "shipment_sent",
    "object_id": "9",
    "external_id": "e",
    "raw": "\\x",
    "received_at": LONG_AGO,
}
STUCK: list[tuple[str, str, dict[str, Any], str]] = [
    ("orders", "outbox", OUTGOING, f"outboxes_are_drained: orders {EVENT}: Told waits in the outbox since {SINCE}"),
    (
        "payments",
        "operations",
        OPERATION,
        f"operations_are_settled: payments {OPERATION['id']} {ORDER}:"
        f" capture is UNKNOWN after 3 tries, planned at {SINCE}",
    ),
    (
        "orders",
        "idempotency_keys",
        REQUEST,
        f"requests_are_finished: orders shop/CreateOrder/r1 {ORDER}: is at RESERVED since {SINCE}",
    ),
    (
        "emails",
        "job_leases",
        {"name": "emails-send", "holder": "h", "fence": 1, "lease_until": LONG_AGO},
        f"jobs_are_run: emails jobs: nobody runs them since {SINCE}",
    ),
    (
        "payments",
        "cancellations",
        {"id": "c1", "order_id": ORDER, "requested_at": LONG_AGO, "settled": False},
        f"cancellations_are_answered: payments c1 {ORDER}: is not settled since {SINCE}",
    ),
    (
        "payments",
        "webhook_events",
        WEBHOOK,
        f"webhooks_are_processed: payments evt_1 charge.refunded: is not processed since {SINCE}",
    ),
    (
        "fulfillment",
        "webhooks",
        HINT,
        f"webhooks_are_processed: fulfillment 9 shipment_sent: is not processed since {SINCE}",
    ),
    (
        "fulfillment",
        "fulfillments",
        {"order_id": ORDER, "state": "QUEUED", "round": 1, "request_id": "r1", "created_at": LONG_AGO},
        f"fulfillments_go_on: fulfillment {ORDER} QUEUED: has waited since {SINCE}",
    ),
]


@pytest.mark.parametrize(("database", "table", "row", "line"), STUCK, ids=[f"{each[0]}-{each[1]}" for each in STUCK])
async def test_what_is_stuck(audited: Audited, database: str, table: str, row: dict[str, Any], line: str) -> None:
    async with audited(database) as books:
        await books.connections[database].execute("SET LOCAL timezone = 'UTC'")
        await books.put(database, table, **row)
        assert await books.lines() == [line]


@pytest.mark.requirement("S-8")
async def test_a_cancellation_that_is_not_answered(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order(cancellation="REQUESTED", cancellation_number=1, cancellation_reason="EXPIRED")
        number = await books.connections["orders"].fetchval("SELECT number FROM orders")
        assert await books.lines() == [
            f"cancellations_are_answered: orders {ORDER} {number}:"
            f" its cancellation is REQUESTED (EXPIRED) since {SINCE}"
        ]


@pytest.mark.requirement("R-2.12")
async def test_a_deadline_that_nobody_kept(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order(due_at=LONG_AGO)
        number = await books.connections["orders"].fetchval("SELECT number FROM orders")
        assert await books.lines() == [
            f"deadlines_are_kept: orders {ORDER} {number}: is PENDING, and something was due at {SINCE}"
        ]
