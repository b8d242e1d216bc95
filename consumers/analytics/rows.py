"""A Kafka record as a row of the archive.

Why: the row keeps the record whole, for a replay, and its message as JSON, for questions; a record that cannot be read
is kept as well, with what is wrong with it, for nothing may be missing from an archive.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from google.protobuf.json_format import MessageToJson

from services.chassis.consumer.records import read
from services.chassis.inbox import IncomingEvent, Undecodable, decode

_ROW_BYTES = 500  # what a row costs besides its payload and JSON


class Record(Protocol):
    """The part of aiokafka's ConsumerRecord that is archived; `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One record; the fields are the archive's columns. `problem` is None for an event that could be read whole."""

    topic: str
    partition: int
    offset: int
    event_id: str | None
    type: str
    source: str
    event_time: datetime
    key: str
    traceparent: str
    payload: bytes
    headers: list[tuple[str, bytes | None]] | None
    body: str | None
    problem: str | None

    @property
    def day(self) -> date:
        """The day (UTC) that it is filed under."""
        return self.event_time.date()

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return _ROW_BYTES + len(self.payload) + len(self.body or "")


def row_of(record: Record, topic_prefix: str = "") -> Row:
    """The record's row; never fails."""
    event = read(record, topic_prefix)
    if isinstance(event, IncomingEvent):
        body, problem = _body(event)
        return Row(
            event.topic,
            event.partition,
            event.offset,
            event.id,
            event.type,
            event.source,
            event.time,
            event.key,
            event.traceparent,
            event.payload,
            None,
            body,
            problem,
        )
    arrived = _arrived(record.timestamp)
    place = (event.topic, event.partition, event.offset)
    headers = list(record.headers)
    return Row(*place, None, event.type, "", arrived, event.key, "", event.payload, headers, None, event.reason)


def _arrived(timestamp_ms: int) -> datetime:
    """When the record was written; its producer may claim anything, even a year that no calendar has."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _body(event: IncomingEvent) -> tuple[str | None, str | None]:
    """The message as JSON, or why there is none. Unset fields are shown, 64-bit integers are text."""
    try:
        message = decode(event)
        return (
            MessageToJson(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
            ),
            None,
        )
    except (Undecodable, ValueError) as error:
        return None, str(error)
