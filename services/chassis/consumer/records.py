"""Kafka records as events.

Why: a record whose headers or key cannot be read is parked like any other poison, so it must be describable.
"""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from services.chassis.inbox import IncomingEvent

_CANONICAL: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_KEY_BYTES: Final = 512  # far more than an id takes; much longer ones do not fit into the indexes of what is parked
_STORED: Final = ("ce_type", "ce_source", "traceparent")  # as text, which cannot hold NUL (F-32)
_READ: Final = frozenset((*_STORED, "ce_id", "ce_time"))


class Record(Protocol):
    """The part of aiokafka's ConsumerRecord that is read here."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no event: its place, what could be read of it, and why it could not be read whole."""

    topic: str
    partition: int
    offset: int
    key: str
    type: str
    payload: bytes
    reason: str


class Batch:
    """Records of one or several polls as events, and where each partition's begin and end."""

    def __init__(self) -> None:
        self.items: list[IncomingEvent | Unreadable] = []
        self.firsts: dict[Any, int] = {}
        self.ends: dict[Any, int] = {}

    def add(self, place: Any, records: Sequence[Record], topic_prefix: str) -> None:
        """Append records of the partition `place`, which follow those that it holds; at least one."""
        self.firsts.setdefault(place, records[0].offset)
        self.ends[place] = records[-1].offset + 1
        self.items += [read(record, topic_prefix) for record in records]


def read(record: Record, topic_prefix: str = "") -> IncomingEvent | Unreadable:
    """The record's event; `topic_prefix` is taken off its topic.

    Extra headers do not matter, whatever they hold; one without a value, which Kafka allows, is as if it were missing.
    """
    topic = record.topic.removeprefix(topic_prefix)
    payload = record.value or b""
    headers: dict[str, str] = {}
    try:
        headers = {name: value.decode() for name, value in record.headers if name in _READ and value is not None}
        key = _key(record.key)
        for name in _STORED:
            if name in headers and "\0" in headers[name]:
                raise ValueError(f"{name} contains NUL")
        event_id = headers["ce_id"]
        if not _CANONICAL(event_id):
            event_id = str(uuid.UUID(event_id))
        time = datetime.fromisoformat(headers["ce_time"])
        if time.tzinfo is None:
            raise ValueError("ce_time has no time zone")
        return IncomingEvent(
            id=event_id,
            type=headers["ce_type"],
            source=headers["ce_source"],
            time=time if time.tzinfo is UTC else time.astimezone(UTC),
            key=key,
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            traceparent=headers.get("traceparent", ""),
            payload=payload,
        )
    except KeyError as error:
        reason = f"header {error.args[0]} is missing"
    except (ValueError, OverflowError) as error:  # UnicodeDecodeError included
        reason = str(error)
    try:
        key = _key(record.key)
    except ValueError:
        key = f"partition {record.partition} offset {record.offset}"  # parked by its place: nothing waits behind it
    kind = headers.get("ce_type", "").replace("\0", "")
    return Unreadable(topic, record.partition, record.offset, key, kind, payload, reason)


def _key(raw: bytes | None) -> str:
    if not raw:
        raise ValueError("the record has no key")
    if len(raw) > _KEY_BYTES:
        raise ValueError(f"the key has {len(raw)} bytes, and {_KEY_BYTES} are allowed")
    if b"\0" in raw:
        raise ValueError("the key contains NUL")  # PostgreSQL's text cannot hold it (F-32)
    return raw.decode()
