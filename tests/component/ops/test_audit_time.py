"""Laws of the audit about events and about what takes too long: each planted breach is exactly one line (R-6.4)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.analytics import parquet
from ops.audit.kafka import Event, Topics
from ops.audit.sources import archived
from tests.component.consumers import records
from tests.component.consumers.records import row
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
        expected = [
            f"events_are_read: onefold.{group} {TOPIC}: 1 events are not read" for group in ("analytics", "inventory")
        ]
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
async def test_analytics_that_never_began_is_noticed_by_its_folder(audited: Audited, tmp_path: Path) -> None:
    async with audited() as books:
        never = replace(published(EVENT, time=datetime.fromisoformat(LONG_AGO)), following={})
        books.witnesses |= {"topics": never, "archive": archived(tmp_path / "missing")}
        assert await books.lines() == [f"events_are_read: onefold.analytics {TOPIC}: 1 events are not read"]
        books.witnesses["topics"] = published(EVENT)
        assert await books.lines() == [
            f"archive_holds_every_event_once: {TOPIC}/0/0 {EVENT}: Told was read and not archived"
        ]


def keep(folder: Path, *offsets: int) -> None:
    """Archive one event at some offsets, as one file."""
    rows = [row(records.created("o"), key="o", offset=at, event_id=EVENT) for at in offsets]
    parquet.write(folder, rows)


@pytest.mark.requirement("S-24", "S-28")
async def test_an_event_that_relays_published_twice_is_archived_at_both_places(
    audited: Audited, tmp_path: Path
) -> None:
    keep(tmp_path, 0, 1)
    async with audited() as books:
        books.witnesses |= {"topics": published(EVENT, EVENT), "archive": archived(tmp_path)}
        assert await books.lines() == []


@pytest.mark.requirement("S-28")
async def test_an_event_that_is_archived_twice(audited: Audited, tmp_path: Path) -> None:
    keep(tmp_path, 0, 1)
    keep(tmp_path, 1, 2)
    async with audited() as books:
        books.witnesses |= {"topics": published(*[EVENT] * 3), "archive": archived(tmp_path)}
        assert await books.lines() == [f"archive_holds_every_event_once: {TOPIC}/0/1: is archived 2 times"]


@pytest.mark.requirement("S-27")
async def test_an_unreadable_event_that_a_person_discarded_is_not_lost(audited: Audited) -> None:
    async with audited("inventory") as books:
        books.witnesses["topics"] = published("")
        assert await books.lines() == [
            f"events_are_applied_once: inventory {ORDER}: Told was read and neither claimed nor parked"
        ]
        decided = {"kind": "event_discarded", "subject": f"inventory/{TOPIC}/{ORDER}/0/0", "order_id": ORDER}
        times = {"opened_at": LONG_AGO, "closed_at": LONG_AGO}
        end = {"state": "RESOLVED", "closed_by": "ann", "resolution": "broken"}
        await books.put("inventory", "incidents", id=name("d"), **decided, **times, **end)
        assert await books.lines() == []


async def test_jobs_that_nobody_ever_ran(audited: Audited) -> None:
    async with audited("inventory") as books:
        await books.connections["inventory"].execute("DELETE FROM job_leases")
        assert await books.lines() == []
        await books.claimed("inventory", EVENT, TOPIC, 0)
        assert await books.lines() == ["jobs_are_run: inventory jobs: nobody ever ran them"]


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


@pytest.mark.parametrize(("database", "table", "values", "line"), STUCK, ids=[f"{each[0]}-{each[1]}" for each in STUCK])
async def test_what_is_stuck(audited: Audited, database: str, table: str, values: dict[str, Any], line: str) -> None:
    async with audited(database) as books:
        await books.connections[database].execute("SET LOCAL timezone = 'UTC'")
        await books.connections[database].execute("DELETE FROM job_leases")
        await books.put(database, table, **values)
        assert await books.lines() == [line]


@pytest.mark.requirement("S-8")
async def test_a_cancellation_that_is_not_answered(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.connections["orders"].execute("SET LOCAL timezone = 'UTC'")
        asked: dict[str, Any] = {
            "cancellation_number": 1,
            "cancellation_reason": "EXPIRED",
            "cancellation_answers": {"asked_at": LONG_AGO},
        }
        await books.order(cancellation="REQUESTED", **asked, updated_at=datetime.now(UTC).isoformat())
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
