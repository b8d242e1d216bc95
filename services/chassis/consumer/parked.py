"""Parked keys as people see them: list, inspect, discard; and what a redrive takes out.

Why: a key never waits unseen, and an event leaves its place only by being applied or by a person's decision (R-5.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.chassis.consumer.parking import KEY_PARKED, incident_subject, lock_markers
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome, claim, record
from services.chassis.incidents import Incident, open_incidents, resolve_about

EVENT_DISCARDED: Final = "event_discarded"

_LIST: Final = """
SELECT consumer, topic, key, reason, parked_at,
       (SELECT count(*) FROM parked_events AS event
         WHERE (event.consumer, event.topic, event.key) = (parked.consumer, parked.topic, parked.key)) AS events
  FROM parked_keys AS parked
 WHERE $1::text IS NULL OR consumer = $1
 ORDER BY parked_at, consumer, topic, key LIMIT $2
"""

_EVENTS: Final = """
SELECT topic, key, kafka_partition, kafka_offset, event_id::text, type, source, event_time, traceparent, payload,
       reason, parked_at
  FROM parked_events
 WHERE consumer = $1 AND topic = $2 AND key = $3 AND (kafka_partition, kafka_offset) > ($4, $5)
 ORDER BY kafka_partition, kafka_offset LIMIT $6
"""

_REMOVE: Final = """
DELETE FROM parked_events
 WHERE consumer = $1 AND topic = $2 AND key = $3
   AND (kafka_partition, kafka_offset) IN (SELECT * FROM unnest($4::int[], $5::bigint[]))
"""

_UNMARK: Final = "DELETE FROM parked_keys WHERE consumer = $1 AND topic = $2 AND key = $3"


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A key that waits, since when, why, and how many events wait with it."""

    consumer: str
    topic: str
    key: str
    reason: str
    parked_at: datetime
    events: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One waiting event. `event` is None where its headers cannot be read; `reason` is empty if it only waits."""

    topic: str
    key: str
    partition: int
    offset: int
    type: str
    payload: bytes
    reason: str
    parked_at: datetime
    event: IncomingEvent | None


async def list_parked(db: Database | Transaction, consumer: str | None = None, *, limit: int = 100) -> list[ParkedKey]:
    """Parked keys, the oldest first, of one consumer or of all."""
    return [ParkedKey(**dict(row)) for row in await db.fetch(_LIST, consumer, limit)]


async def inspect(
    db: Database | Transaction,
    consumer: str,
    topic: str,
    key: str,
    *,
    after: tuple[int, int] = (-1, -1),
    limit: int = 256,
) -> list[ParkedEvent]:
    """The events of a parked key in offset order; `after` is the (partition, offset) of the last one seen."""
    rows = await db.fetch(_EVENTS, consumer, topic, key, *after, limit)
    return [_parked_event(row) for row in rows]


async def discard(
    db: Database,
    consumer: str,
    topic: str,
    key: str,
    place: tuple[int, int],
    *,
    actor: str,
    reason: str = "discarded by a person",
) -> bool:
    """Drop one parked event for good, by (partition, offset), because a person decided so; redrive applies the rest.

    It is claimed as IGNORED, and the decision stays as a resolved incident. False if there is no such event.
    """

    async def body(tx: Transaction) -> bool:
        if not await lock_markers(tx, consumer, [(topic, key)]):
            return False
        partition, offset = place
        found = await inspect(tx, consumer, topic, key, after=(partition, offset - 1), limit=1)
        if not found or (found[0].partition, found[0].offset) != place:
            return False
        await remove(tx, consumer, topic, key, [place])
        if (event := found[0].event) is not None and await claim(tx, consumer, [event]):
            await record(tx, consumer, {event.id: Outcome.IGNORED})
        subject = f"{incident_subject(consumer, topic, key)}/{partition}/{offset}"
        now = await tx.fetchval("SELECT clock_timestamp()")
        details = {"type": found[0].type, "reason": found[0].reason}
        await open_incidents(
            tx,
            [
                Incident(
                    kind=EVENT_DISCARDED,
                    subject=subject,
                    order_id=key,
                    opened_at=now,
                    details=details,
                )
            ],
        )
        await resolve_about(tx, EVENT_DISCARDED, subject, reason, actor)
        return True

    return await db.run(body)


async def remove(
    tx: Transaction,
    consumer: str,
    topic: str,
    key: str,
    places: Sequence[tuple[int, int]],
) -> None:
    """Delete parked events by (partition, offset)."""
    await tx.execute(
        _REMOVE,
        consumer,
        topic,
        key,
        [place[0] for place in places],
        [place[1] for place in places],
    )


async def unmark(tx: Transaction, consumer: str, topic: str, key: str, *, actor: str, resolution: str) -> None:
    """Delete the marker of a key behind which nothing waits any more, and close its incident."""
    await tx.execute(_UNMARK, consumer, topic, key)
    await resolve_about(tx, KEY_PARKED, incident_subject(consumer, topic, key), resolution, actor)


def _parked_event(row: Any) -> ParkedEvent:
    event = None
    if row["event_id"] is not None:
        event = IncomingEvent(
            id=row["event_id"],
            type=row["type"],
            source=row["source"],
            time=row["event_time"],
            key=row["key"],
            topic=row["topic"],
            partition=row["kafka_partition"],
            offset=row["kafka_offset"],
            traceparent=row["traceparent"],
            payload=row["payload"],
        )
    return ParkedEvent(
        topic=row["topic"],
        key=row["key"],
        partition=row["kafka_partition"],
        offset=row["kafka_offset"],
        type=row["type"],
        payload=row["payload"],
        reason=row["reason"],
        parked_at=row["parked_at"],
        event=event,
    )
