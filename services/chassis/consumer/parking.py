"""Parking a key: its marker, the events that wait behind it, and the incident that says so.

Why: order per key outlives a failure; whoever touches a parked key holds its marker first (S-27, F-39).
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from services.chassis.consumer.records import Unreadable
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent
from services.chassis.incidents import Incident, open_incidents
from services.chassis.telemetry import counter, gauge

KEY_PARKED: Final = "key_parked"

_parked = counter("parked_events_total", "Events that were parked", ["consumer"])

_waiting = gauge("parked_keys", "Keys that wait for a person, as their consumer last saw them", ["consumer"])

_COUNT: Final = "SELECT count(*) FROM parked_keys WHERE consumer = $1"

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

_SKIP: Final = "SELECT DISTINCT key FROM parked_keys WHERE consumer = $1 AND key = ANY($2::text[])"

_SINCE: Final = """
SELECT event_id::text, parked_at FROM parked_events
 WHERE consumer = $1 AND event_id IS NOT NULL
   AND (topic, kafka_partition, kafka_offset) IN (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]))
"""


async def parked_keys(tx: Database | Transaction, consumer: str, keys: Collection[str]) -> set[str]:
    """Those of `keys` that `consumer` has parked in any topic: jobs leave them alone."""
    return {row["key"] for row in await tx.fetch(_SKIP, consumer, sorted(keys))}


async def parked_since(tx: Transaction, consumer: str, events: Sequence[IncomingEvent]) -> dict[str, datetime]:
    """When those of `events` that a redrive brings were parked, by event id and the database's clock."""
    places = (
        [event.topic for event in events],
        [event.partition for event in events],
        [event.offset for event in events],
    )
    return {row["event_id"]: row["parked_at"] for row in await tx.fetch(_SINCE, consumer, *places)}


async def lock_markers(tx: Transaction, consumer: str, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Lock the markers of (topic, key) pairs, sorted, before anything else is locked (S-4); returns those parked."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(_LOCK, consumer, [topic for topic, _ in wanted], [key for _, key in wanted])
    return {(row["topic"], row["key"]) for row in rows}


async def park_behind(tx: Transaction, consumer: str, events: Sequence[IncomingEvent | Unreadable]) -> None:
    """Let events wait behind markers that the transaction holds."""
    await _insert(
        tx,
        consumer,
        [(event, event.reason if isinstance(event, Unreadable) else "") for event in events],
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
    await _insert(tx, consumer, [(event, reason if event is first else "") for event in events])
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


async def parked_in_last_minute(tx: Transaction, consumer: str, topic: str, key: str) -> int:
    """How many other keys the consumer has parked within a minute, by the database's clock."""
    count: int = await tx.fetchval(_RECENT, consumer, topic, key)
    return count


async def look_at_parked(db: Database, consumer: str) -> None:
    """Show how many keys of the consumer are parked now."""
    _waiting.labels(consumer).set(await db.fetchval(_COUNT, consumer))


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


def _text(reason: str) -> str:
    return reason.replace("\0", "")[:1000]
