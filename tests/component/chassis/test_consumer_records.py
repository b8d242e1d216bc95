import random
import string

import pytest

from services.chassis.clock import ManualClock
from services.chassis.consumer import list_parked
from services.chassis.consumer.records import Unreadable, read
from services.chassis.db import Database
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent
from tests.component.chassis.messaging import POISON, TOPIC, applier, effects, event

pytestmark = pytest.mark.requirement("R-5.1")


class Record:
    topic = f"prefix.{TOPIC}"
    partition = 2
    offset = 7

    def __init__(self, key: bytes | None = b"order-1", value: bytes | None = b"", **headers: bytes | None) -> None:
        self.key = key
        self.value = value
        whole: dict[str, bytes | None] = {
            "ce_id": new_id().encode(),
            "ce_type": b"a.B",
            "ce_source": b"onefold/a",
            "ce_time": b"2026-03-02T09:30:00.25Z",
        }
        self.headers = [(name, value) for name, value in (whole | headers).items() if value != b"-"]


def test_a_record_is_read_as_a_cloud_event() -> None:
    event = read(Record(extra=b"x"), "prefix.")
    assert isinstance(event, IncomingEvent)
    assert (event.topic, event.partition, event.offset, event.key) == (TOPIC, 2, 7, "order-1")
    assert event.time.isoformat() == "2026-03-02T09:30:00.250000+00:00"


@pytest.mark.requirement("R-5.6")
@pytest.mark.parametrize("value", [None, b"\xff", b"\0"])
def test_what_an_extra_header_holds_does_not_matter(value: bytes | None) -> None:
    assert isinstance(read(Record(extra=value)), IncomingEvent)


@pytest.mark.requirement("R-5.6")
def test_a_header_without_a_value_is_missing() -> None:
    event = read(Record(traceparent=None))
    assert isinstance(event, IncomingEvent)
    assert event.traceparent == ""


def test_a_key_may_be_as_long_as_any_id() -> None:
    event = read(Record(key=b"k" * 512))
    assert isinstance(event, IncomingEvent)
    assert event.key == "k" * 512


@pytest.mark.requirement("R-5.6", "S-27")
@pytest.mark.parametrize("length", [512, 513, 100_000])
async def test_poison_is_parked_however_long_its_key_is(db: Database, clock: ManualClock, length: int) -> None:
    """The longest key that is one fits into the indexes even where it cannot be compressed."""
    key = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=length))
    poison = read(Record(key=key.encode(), value=POISON), "prefix.")
    healthy = event("order-2", 8)
    await applier(db, clock).apply([poison, healthy])
    (parked,) = await list_parked(db)
    assert parked.key == (key if length == 512 else "partition 2 offset 7")
    assert await effects(db) == [healthy.id]


@pytest.mark.requirement("S-27")
@pytest.mark.parametrize(
    ("record", "key", "reason"),
    [
        (Record(key=None), "partition 2 offset 7", "the record has no key"),
        (Record(key=b"a\0b"), "partition 2 offset 7", "the key contains NUL"),
        (Record(key=b"k" * 513), "partition 2 offset 7", "the key has 513 bytes"),
        (Record(key=b"\xff"), "partition 2 offset 7", "utf-8"),
        (Record(ce_id=b"-"), "order-1", "header ce_id is missing"),
        (Record(ce_id=None), "order-1", "header ce_id is missing"),
        (Record(ce_type=None), "order-1", "header ce_type is missing"),
        (Record(ce_id=b"7"), "order-1", "badly formed"),
        (Record(ce_time=b"yesterday"), "order-1", "isoformat"),
        (Record(ce_time=b"2026-03-02T09:30:00"), "order-1", "no time zone"),
        (Record(ce_time=b"0001-01-01T00:00:00+14:00"), "order-1", "out of range"),
        (Record(ce_type=b"\xff"), "order-1", "utf-8"),
        (Record(ce_type=b"a\0b"), "order-1", "ce_type contains NUL"),
        (Record(ce_source=b"a\0b"), "order-1", "ce_source contains NUL"),
        (Record(traceparent=b"a\0b"), "order-1", "traceparent contains NUL"),
    ],
)
def test_what_cannot_be_read_says_why(record: Record, key: str, reason: str) -> None:
    unreadable = read(record, "prefix.")
    assert isinstance(unreadable, Unreadable)
    assert unreadable.key == key
    assert reason in unreadable.reason
