"""What can be asked of the archive, and that nothing counts twice however often it is there (R-5.5)."""

from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from consumers.analytics import files, parquet, query
from consumers.analytics.rows import Row
from services.chassis.ids import new_id
from tests.component.consumers import records
from tests.component.consumers.records import DAY, order_event, row

pytestmark = pytest.mark.requirement("R-5.5")

TODAY, TOMORROW = DAY.date(), date(2026, 3, 3)


def archive(folder: Path, *rows: Row) -> None:
    """Rows as the archiver would write them: by topic, in offset order."""
    by_topic: dict[str, list[Row]] = defaultdict(list)
    for each in rows:
        by_topic[each.topic].append(each)
    for of_topic in by_topic.values():
        parquet.write(folder, of_topic)


def told(name: str, folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    answer = query.query(name, folder)
    places = [answer.columns.index(column) for column in columns]
    return [tuple(each[place] for place in places) for each in answer.rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four orders: one delivered, one cancelled, one refunded, one that nobody paid; the last two on the next day."""
    events: list[tuple[Any, str, float]] = [
        (records.created("delivered"), "delivered", 0),
        (order_event("OrderConfirmed", "delivered"), "delivered", 0),
        (order_event("OrderProcessing", "delivered"), "delivered", 0),
        (records.created("cancelled", 500), "cancelled", 0),
        (order_event("OrderShipped", "delivered"), "delivered", 1),
        (order_event("OrderDelivered", "delivered"), "delivered", 1),
        (records.cancelled("cancelled"), "cancelled", 1),
        (records.created("refunded", 2_000), "refunded", 1),
        (order_event("OrderConfirmed", "refunded"), "refunded", 1),
        (order_event("OrderRefunded", "refunded"), "refunded", 1),
        (records.created("unpaid", 300, "JPY"), "unpaid", 1),
        (records.payment_created("delivered"), "delivered", 0),
        (records.captured("delivered", 1_000), "delivered", 0),
        (records.payment_created("refunded"), "refunded", 1),
        (records.captured("refunded", 2_000), "refunded", 1),
        (records.refund("Pending", "refunded", 2_000, "r1"), "refunded", 1),
        (records.refund("Succeeded", "refunded", 2_000, "r1"), "refunded", 1),
        (records.refund("Succeeded", "delivered", 100, "r2"), "delivered", 1),
        (records.refund("Failed", "delivered", 100, "r2"), "delivered", 1),
        (records.level("MUG", 1, 10), "MUG", 0),
        (records.level("MUG", 3, 8, 2), "MUG", 0),
        (records.low("MUG", 3), "MUG", 0),
        (records.level("CAP", 1, 5), "CAP", 0),
        (records.sent("delivered"), "delivered", 1),
        (order_event("OrderShipped", "delivered"), "delivered", 2),  # sent again
    ]
    archive(
        tmp_path, *(row(event, key=key, days=days, offset=place) for place, (event, key, days) in enumerate(events))
    )
    return tmp_path


def test_each_question_has_its_answer(folder: Path) -> None:
    assert told("orders_by_day", folder, "day", "state", "currency", "orders", "total_minor") == [
        (TODAY, "CANCELLED", "GBP", 1, 500),
        (TODAY, "DELIVERED", "GBP", 1, 1_000),
        (TOMORROW, "PENDING", "JPY", 1, 300),
        (TOMORROW, "REFUNDED", "GBP", 1, 2_000),
    ]
    assert told("revenue", folder, "day", "currency", "captured_minor", "refunded_minor", "net_minor") == [
        (TODAY, "GBP", 1_000, 0, 1_000),
        (TOMORROW, "GBP", 2_000, 2_000, 0),
    ]
    assert told("refunds_by_day", folder, "state", "refunds", "amount_minor") == [
        ("FAILED", 1, 100),
        ("SUCCEEDED", 1, 2_000),
    ]
    assert told("stock", folder, "sku", "on_hand", "reserved", "available", "low") == [
        ("CAP", 5, 0, 5, 0),
        ("MUG", 8, 2, 6, 1),
    ]
    assert told("funnel", folder, "day", "placed", "payment_started", "confirmed", "shipped", "delivered") == [
        (TODAY, 2, 1, 1, 1, 1),
        (TOMORROW, 2, 1, 1, 0, 0),
    ]
    for name in query.names():
        assert query.query(name, folder).rows or name == "unreadable", name


def test_an_event_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    """A relay published it twice, and small files are still beside the one they were joined into."""
    twice = [row(records.captured("o", 1_000, f"ch_{at}"), key="o", event_id=new_id(), offset=at) for at in range(3)]
    archive(tmp_path, *twice)
    archive(tmp_path, row(records.captured("o", 1_000, "ch_3"), key="o", event_id=twice[0].event_id or "", offset=3))
    counted = "SELECT count(*) FROM events"
    assert query.ask(counted, tmp_path).rows == [(3,)]
    assert told("revenue", tmp_path, "captured_minor") == [(3_000,)]
    parquet.join(tmp_path, sorted(files.scan(tmp_path)))
    assert query.ask(counted, tmp_path).rows == [(3,)]
    assert query.ask("SELECT count(*) FROM archive", tmp_path).rows == [(4,)]


def test_an_empty_archive_answers_with_nothing(tmp_path: Path) -> None:
    for name in query.names():
        assert query.query(name, tmp_path).rows == []


def test_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    with pytest.raises(query.UnknownQuestion, match="revenue"):
        query.query('orders"; DROP', tmp_path)
