"""Laws about events: each is published, read and applied, once, by every consumer (S-24, S-25)."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from consumers.analytics.events import CONSUMER as ANALYTICS
from ops.audit.claims import READERS, Claims, Reader
from ops.audit.law import Found, law
from ops.audit.sources import ARCHIVE, DATABASES, TOPICS, Sources

OUTBOX: Final = timedelta(minutes=1)
UNREAD: Final = timedelta(minutes=5)
GROUPS: Final = {reader.name: reader.group for reader in READERS}
_WAITING: Final = """
SELECT id::text AS id, type, appended_at FROM outbox
 WHERE appended_at < now() - $1::interval ORDER BY position LIMIT 100
"""


@law(*DATABASES)
async def outboxes_are_drained(sources: Sources) -> Found:
    """No event waits in an outbox for longer than a minute (S-24)."""
    limit = sources.older_than(OUTBOX)
    return [
        (f"{name} {row['id']}", f"{row['type']} waits in the outbox since {row['appended_at']:%Y-%m-%d %H:%M:%S}")
        for name in sources.databases
        for row in await sources.rows(name, _WAITING, limit)
    ]


@law(*DATABASES, TOPICS)
async def events_are_applied_once(sources: Sources) -> Found:
    """Every event that a consumer has read is claimed in its inbox, parked or discarded, and nothing else is (S-25)."""
    if not sources.topics.events:
        return []
    readers = [reader for reader in READERS if reader.name in sources.claims]
    return [line for reader in readers for line in _unequal(sources, reader, sources.claims[reader.name])]


@law(*DATABASES, TOPICS)
async def events_are_read(sources: Sources) -> Found:
    """No consumer is more than five minutes behind its topics."""
    until = datetime.now(UTC) - sources.older_than(UNREAD)
    behind: Counter[tuple[str, str]] = Counter()
    for reader in READERS:
        if not _runs(sources, reader):
            continue
        for event in sources.topics.of(reader.topics):
            if event.time is not None and event.time < until and not sources.topics.has_read(reader.group, event):
                behind[reader.group, event.topic] += 1
    return [(f"{group} {topic}", f"{count} events are not read") for (group, topic), count in sorted(behind.items())]


@law(TOPICS, ARCHIVE)
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
        if sources.topics.has_read(GROUPS[ANALYTICS], event)
        and (event.topic, event.partition, event.offset) not in times
    ]


def _runs(sources: Sources, reader: Reader) -> bool:
    """Whether there is such a consumer: it has a database or an archive, or has ever said how far it read."""
    if reader.name in sources.databases or (reader.name == ANALYTICS and sources.archive is not None):
        return True
    return any(group == reader.group for group, _, _ in sources.topics.following)


def _unequal(sources: Sources, reader: Reader, claims: Claims) -> list[tuple[str, str]]:
    published = sources.topics.of(reader.topics)
    found = [
        (f"{reader.name} {event.id or event.key}", f"{event.type} was read and neither claimed nor parked")
        for event in published
        if event.id not in claims.claimed
        and (event.topic, event.partition, event.offset) not in claims.parked
        and f"{reader.name}/{event.topic}/{event.key}/{event.partition}/{event.offset}" not in claims.discarded
        and sources.topics.has_read(reader.group, event)
    ]
    known = {event.id for event in published}
    begins = sources.topics.begins
    return found + [
        (f"{reader.name} {event_id}", "was applied and is not in the topic")
        for event_id, (topic, partition, offset) in claims.claimed.items()
        if event_id not in known and offset >= begins.get((topic, partition), 0)
    ]
