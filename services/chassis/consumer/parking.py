"""Parked keys: events that wait because an earlier one of their key could not be applied.

Why: order per key outlives a failure; whoever touches a parked key holds its marker first (S-27, F-39).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.chassis.consumer.records import Unreadable
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent
from services.chassis.incidents import Incident, open_incidents
from services.chassis.telemetry import counter

KEY_PARKED: Final = "KEY_PARKED"

_parked = counter("parked_events_total", "Events that were parked", ["consumer"])

_LOCK: Final = """
SELECT parked.topic, parked.key
  FROM parked_keys AS parked
  JOIN unnest($2::text[], $3::text[]) AS wanted (topic, key) USING (topic, key)
 WHERE parked.consumer = $1 ORDER BY parked.topic, parked.key FOR NO KEY UPDATE OF parked
"""

_MARK: Final = """
INSERT INTO parked_keys (consumer, topic, key, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer, topic, key) DO NOTHING
"""

_PARK: Final = """
INSERT INTO parked_events (consumer, topic, key, kafka_partition, kafka_offset, event_id, type, source, event_time,
                           traceparent, payload, reason)
SELECT $1, event.*
  FROM unnest($2::text[], $3::text[], $4::int[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::timestamptz[],
              $10::text[], $11::bytea[], $12::text[]) AS event
ON CONFLICT (consumer, topic, kafka_partition, kafka_offset) DO NOTHING
"""

_RECENT: Final = """
SELECT count(*) FROM parked_keys
 WHERE consumer = $1 AND parked_at > clock_timestamp() - interval '1 minute' AND (topic, key) <> ($2, $3)
"""

_SKIP: Final = (
    "SELECT DISTINCT key FROM parked_keys WHERE consumer = $1 AND key = ANY($2::text[])"
)

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

_UNMARK: Final = (
    "DELETE FROM parked_keys WHERE consumer = $1 AND topic = $2 AND key = $3"
)

_CLOSE_INCIDENT: Final = """
UPDATE incidents SET state = 'RESOLVED', closed_at = clock_timestamp(), closed_by = $3, resolution = $4
 WHERE kind = $1 AND subject = $2 AND state = 'OPEN'
"""


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


async def list_parked(
    db: Database | Transaction, consumer: str | None = None, *, limit: int = 100
) -> list[ParkedKey]:
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


async def parked_keys(
    tx: Database | Transaction, consumer: str, keys: Collection[str]
) -> set[str]:
    """Those of `keys` that `consumer` has parked in any topic: jobs leave them alone."""
    return {row["key"] for row in await tx.fetch(_SKIP, consumer, sorted(keys))}


async def lock_markers(
    tx: Transaction, consumer: str, keys: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Lock the markers of (topic, key) pairs, sorted, before anything else is locked (S-4); returns those parked."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        _LOCK, consumer, [topic for topic, _ in wanted], [key for _, key in wanted]
    )
    return {(row["topic"], row["key"]) for row in rows}


async def park_behind(
    tx: Transaction, consumer: str, events: Sequence[IncomingEvent | Unreadable]
) -> None:
    """Let events wait behind markers that the transaction holds."""
    await _insert(
        tx,
        consumer,
        [
            (event, event.reason if isinstance(event, Unreadable) else "")
            for event in events
        ],
    )


async def park(
    tx: Transaction,
    consumer: str,
    events: Sequence[IncomingEvent | Unreadable],
    reason: str,
    now: datetime,
) -> None:
    """Park a key: its marker, its `events` (all of one key) in their order, and an incident that says what waits."""
    first = events[0]
    await tx.execute(_MARK, consumer, first.topic, first.key, _text(reason))
    await _insert(
        tx, consumer, [(event, reason if event is first else "") for event in events]
    )
    details = {
        "consumer": consumer,
        "topic": first.topic,
        "key": first.key,
        "type": first.type,
        "partition": first.partition,
        "offset": first.offset,
        "reason": _text(reason),
    }
    subject = incident_subject(consumer, first.topic, first.key)
    await open_incidents(
        tx,
        [
            Incident(
                kind=KEY_PARKED,
                subject=subject,
                order_id=first.key,
                opened_at=now,
                details=details,
            )
        ],
    )


async def parked_in_last_minute(
    tx: Transaction, consumer: str, topic: str, key: str
) -> int:
    """How many other keys the consumer has parked within a minute, by the database's clock."""
    count: int = await tx.fetchval(_RECENT, consumer, topic, key)
    return count


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


async def unmark(
    tx: Transaction, consumer: str, topic: str, key: str, *, actor: str, resolution: str
) -> None:
    """Delete the marker of a key behind which nothing waits any more, and close its incident."""
    await tx.execute(_UNMARK, consumer, topic, key)
    await tx.execute(
        _CLOSE_INCIDENT,
        KEY_PARKED,
        incident_subject(consumer, topic, key),
        actor,
        resolution,
    )


async def discard(
    db: Database,
    consumer: str,
    topic: str,
    key: str,
    place: tuple[int, int],
    *,
    actor: str,
) -> bool:
    """Drop one parked event for good, by (partition, offset), because a person decided so; redrive applies the rest.

    The decision stays as a resolved incident. False if there is no such event.
    """

    async def body(tx: Transaction) -> bool:
        if not await lock_markers(tx, consumer, [(topic, key)]):
            return False
        partition, offset = place
        found = await inspect(
            tx, consumer, topic, key, after=(partition, offset - 1), limit=1
        )
        if not found or (found[0].partition, found[0].offset) != place:
            return False
        await remove(tx, consumer, topic, key, [place])
        subject = f"{incident_subject(consumer, topic, key)}/{partition}/{offset}"
        now = await tx.fetchval("SELECT clock_timestamp()")
        details = {"type": found[0].type, "reason": found[0].reason}
        await open_incidents(
            tx,
            [
                Incident(
                    kind="EVENT_DISCARDED",
                    subject=subject,
                    order_id=key,
                    opened_at=now,
                    details=details,
                )
            ],
        )
        await tx.execute(
            _CLOSE_INCIDENT, "EVENT_DISCARDED", subject, actor, "discarded by a person"
        )
        return True

    return await db.run(body)


def incident_subject(consumer: str, topic: str, key: str) -> str:
    """What a parked key is called as an incident."""
    return f"{consumer}/{topic}/{key}"


async def _insert(
    tx: Transaction,
    consumer: str,
    events: Sequence[tuple[IncomingEvent | Unreadable, str]],
) -> None:
    whole = [event if isinstance(event, IncomingEvent) else None for event, _ in events]
    await tx.execute(
        _PARK,
        consumer,
        [event.topic for event, _ in events],
        [event.key for event, _ in events],
        [event.partition for event, _ in events],
        [event.offset for event, _ in events],
        [event.id if event else None for event in whole],
        [event.type for event, _ in events],
        [event.source if event else "" for event in whole],
        [event.time if event else None for event in whole],
        [event.traceparent if event else "" for event in whole],
        [event.payload for event, _ in events],
        [_text(reason) for _, reason in events],
    )
    _parked.labels(consumer).inc(len(events))


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


def _text(reason: str) -> str:
    return reason.replace("\0", "")[:1000]
