"""Events that came in: what they are, and the claim that lets each count once per consumer.

Why: the claim shares the transaction of the effect, so a repeated or revoked delivery changes nothing (F-37).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from services.chassis.db import Transaction

# Claims are sorted: two processes that claim the same events in different orders would deadlock (F-58). A rival in
# flight is waited for; where it commits, the event is not fresh (F-26).
_CLAIM: Final = """
INSERT INTO inbox (consumer, event_id, topic, kafka_partition, kafka_offset)
SELECT $1, event_id, topic, kafka_partition, kafka_offset
  FROM unnest($2::uuid[], $3::text[], $4::int[], $5::bigint[])
       AS event (event_id, topic, kafka_partition, kafka_offset)
 ORDER BY event_id, kafka_offset
ON CONFLICT (consumer, event_id) DO NOTHING
RETURNING event_id::text
"""

_RECORD: Final = """
UPDATE inbox SET outcome = $3 WHERE consumer = $1 AND event_id = ANY($2::uuid[])
"""


class Undecodable(Exception):
    """The event's type is unknown to this process, or its payload is not of its type."""


class Outcome(StrEnum):
    """What became of an event (S-25); STALE and CONTRADICTION are named and tested cases, never a default."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    CONTRADICTION = "CONTRADICTION"
    IGNORED = "IGNORED"


class IncomingEvent(NamedTuple):
    """One CloudEvent from Kafka: `id` a UUID in lower case, `topic` without the tests' prefix, `time` in UTC."""

    id: str
    type: str
    source: str
    time: datetime
    key: str
    topic: str
    partition: int
    offset: int
    traceparent: str
    payload: bytes


def decode(event: IncomingEvent) -> Message:
    """The event's message, by its type from protobuf's default pool. Raises Undecodable."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(event.type)
    except KeyError:
        raise Undecodable(f"unknown event type {event.type}") from None
    message: Message = message_factory.GetMessageClass(descriptor)()
    try:
        message.ParseFromString(event.payload)
    except DecodeError:
        raise Undecodable(f"the payload is not a {event.type}") from None
    return message


async def claim(tx: Transaction, consumer: str, events: Sequence[IncomingEvent]) -> list[IncomingEvent]:
    """Those of `events` that `consumer` has not seen, in the given order; an id that comes twice counts once."""
    if not events:
        return []
    rows = await tx.fetch(
        _CLAIM,
        consumer,
        [event.id for event in events],
        [event.topic for event in events],
        [event.partition for event in events],
        [event.offset for event in events],
    )
    unseen = {row["event_id"] for row in rows}
    fresh: list[IncomingEvent] = []
    for event in events:
        if event.id in unseen:
            unseen.discard(event.id)
            fresh.append(event)
    return fresh


async def record(tx: Transaction, consumer: str, outcomes: Mapping[str, Outcome]) -> None:
    """Store what became of claimed events, by event id; a claim says APPLIED until then."""
    for outcome in (Outcome.STALE, Outcome.CONTRADICTION, Outcome.IGNORED):
        ids = sorted(event_id for event_id, value in outcomes.items() if value is outcome)
        if ids:
            await tx.execute(_RECORD, consumer, ids, outcome.value)
