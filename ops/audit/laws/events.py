"""Laws about events: each is published, read and applied, once, by every consumer (S-24, S-25)."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import READERS, Reader, Sources

OUTBOX: Final = timedelta(minutes=1)
UNREAD: Final = timedelta(minutes=5)
ANALYTICS: Final = "onefold.analytics"
_WAITING: Final = """
SELECT id::text AS id, type, appended_at FROM outbox
 WHERE appended_at < now() - $1::interval ORDER BY position LIMIT 100
"""
_CLAIMED: Final = """
SELECT event_id::text AS event_id, topic, kafka_partition, kafka_offset FROM inbox WHERE consumer = $1
"""
_PARKED: Final = "SELECT topic, kafka_partition, kafka_offset FROM parked_events WHERE consumer = $1"


@law
async def outboxes_are_drained(sources: Sources) -> Found:
    """No event waits in an outbox for longer than a minute (S-24)."""
    limit = sources.older_than(OUTBOX)
    return [
        (f"{name} {row['id']}", f"{row['type']} waits in the outbox since {row['appended_at']:%Y-%m-%d %H:%M:%S}")
        for name in sources.databases
        for row in await sources.rows(name, _WAITING, limit)
    ]


@law
async def events_are_applied_once(sources: Sources) -> Found:
    """Every event that a consumer has read is claimed in its inbox or parked, and nothing else is (S-25)."""
    found: list[tuple[str, str]] = []
    for reader in READERS:
        if reader.database in sources.databases and sources.topics.events:
            found += await _unequal(sources, reader)
    return found


@law
async def events_are_read(sources: Sources) -> Found:
    """No consumer is more than five minutes behind its topics."""
    until = datetime.now(UTC) - sources.older_than(UNREAD)
    groups = {reader.group: reader.topics for reader in READERS if reader.database in sources.databases}
    behind: Counter[tuple[str, str]] = Counter()
    for group, topics in groups.items():
        for event in sources.topics.of(topics):
            if event.time is not None and event.time < until and not sources.topics.has_read(group, event):
                behind[group, event.topic] += 1
    return [(f"{group} {topic}", f"{count} events are not read") for (group, topic), count in sorted(behind.items())]


@law
async def archive_holds_every_event_once(sources: Sources) -> Found:
    """Every event that analytics has read is in its archive, once (S-28)."""
    if sources.archive is None:
        return []
    times = Counter(sources.archive)
    found = [
        (f"{topic}/{partition}/{offset}", f"is archived {count} times")
        for (topic, partition, offset), count in sorted(times.items())
        if count > 1
    ]
    events = [event for of_place in sources.topics.events.values() for event in of_place]
    return found + [
        (f"{event.topic}/{event.partition}/{event.offset} {event.id}", f"{event.type} was read and not archived")
        for event in events
        if sources.topics.has_read(ANALYTICS, event) and (event.topic, event.partition, event.offset) not in times
    ]


async def _unequal(sources: Sources, reader: Reader) -> list[tuple[str, str]]:
    claimed = {row["event_id"]: row for row in await sources.rows(reader.database, _CLAIMED, reader.name)}
    parked = {tuple(row) for row in await sources.rows(reader.database, _PARKED, reader.name)}
    published = sources.topics.of(reader.topics)
    found = [
        (f"{reader.name} {event.id or event.key}", f"{event.type} was read and neither claimed nor parked")
        for event in published
        if event.id not in claimed
        and (event.topic, event.partition, event.offset) not in parked
        and sources.topics.has_read(reader.group, event)
    ]
    known = {event.id for event in published}
    begins = sources.topics.begins
    return found + [
        (f"{reader.name} {event_id}", "was applied and is not in the topic")
        for event_id, row in claimed.items()
        if event_id not in known and row["kafka_offset"] >= begins.get((row["topic"], row["kafka_partition"]), 0)
    ]
