"""What stands in Kafka: every event of the four topics, and how far each group has read.

Why: the topics are the witness between the outboxes and the inboxes; nothing else says what was published.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from ops.local.topics import SERVICES, topic_of
from services.chassis.consumer.records import read
from services.chassis.inbox import IncomingEvent

SECONDS: Final = 60.0
Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class Event:
    """An event where it stands; `id` is empty if it cannot be read."""

    id: str
    type: str
    key: str
    topic: str
    partition: int
    offset: int
    time: datetime | None


@dataclass(frozen=True)
class Topics:
    """Events by topic and partition, offsets at which partitions begin, and the next offset of each group."""

    events: Mapping[Place, list[Event]] = field(default_factory=dict)
    begins: Mapping[Place, int] = field(default_factory=dict)
    following: Mapping[tuple[str, str, int], int] = field(default_factory=dict)

    def of(self, topics: Iterable[str]) -> list[Event]:
        """The events of some topics."""
        wanted = set(topics)
        return [event for (topic, _), events in self.events.items() if topic in wanted for event in events]

    def has_read(self, group: str, event: Event) -> bool:
        """Whether the group has committed an offset behind the event."""
        return self.following.get((group, event.topic, event.partition), 0) > event.offset


async def read_topics(bootstrap: str, groups: Iterable[str], prefix: str = "") -> Topics:
    """Everything that the topics hold now. Raises KafkaError or TimeoutError."""
    async with asyncio.timeout(SECONDS):
        places, following = await _places_and_offsets(bootstrap, groups, prefix)
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            events = await _events(consumer, begins, ends, prefix)
        finally:
            await consumer.stop()
    return Topics(events, {_place(place, prefix): offset for place, offset in begins.items()}, following)


async def _events(
    consumer: Any, begins: Mapping[Any, int], ends: Mapping[Any, int], prefix: str
) -> dict[Place, list[Event]]:
    found: dict[Place, list[Event]] = {_place(place, prefix): [] for place in ends}
    left = [place for place in ends if begins[place] < ends[place]]
    consumer.assign(left)
    for place in left:
        consumer.seek(place, begins[place])
    while left:
        for place, records in (await consumer.getmany(*left, timeout_ms=500, max_records=5_000)).items():
            found[_place(place, prefix)] += [
                _event(record, prefix) for record in records if record.offset < ends[place]
            ]
        left = [place for place in left if await consumer.position(place) < ends[place]]
    return found


async def _places_and_offsets(
    bootstrap: str, groups: Iterable[str], prefix: str
) -> tuple[list[TopicPartition], dict[tuple[str, str, int], int]]:
    """All partitions of the four topics, and the next offset of each group in each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = await admin.describe_topics([topic_of(service, prefix) for service in SERVICES])
        for topic in topics:
            if topic["error_code"]:
                raise for_code(topic["error_code"])(topic["topic"])
        places = [TopicPartition(topic["topic"], part["partition"]) for topic in topics for part in topic["partitions"]]
        return places, {
            (group, place.topic.removeprefix(prefix), place.partition): found.offset
            for group in groups
            for place, found in (await admin.list_consumer_group_offsets(f"{prefix}{group}")).items()
        }
    finally:
        await admin.close()


def _place(place: Any, prefix: str) -> Place:
    return place.topic.removeprefix(prefix), place.partition


def _event(record: Any, prefix: str) -> Event:
    event = read(record, prefix)
    if isinstance(event, IncomingEvent):
        return Event(event.id, event.type, event.key, event.topic, event.partition, event.offset, event.time)
    return Event("", event.type, event.key, event.topic, event.partition, event.offset, None)
