"""What stands in Kafka: every event of the four topics, and how far each group has read.

Why: the topics are the witness between the outboxes and the inboxes; nothing else says what was published.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code

from ops.local.topics import SERVICES, topic_of
from services.chassis.consumer.records import read
from services.chassis.inbox import IncomingEvent

SECONDS: Final = 60.0  # for one answer, or for the next events to come
PAUSE_SECONDS: Final = 0.2
Place = tuple[str, int]  # topic, partition
Following = Mapping[tuple[str, str, int], int]  # group, topic and partition to the next offset


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
    """Events by topic and partition, the offsets from which they were read, and the next offset of each group."""

    events: Mapping[Place, list[Event]] = field(default_factory=dict)
    begins: Mapping[Place, int] = field(default_factory=dict)
    following: Following = field(default_factory=dict)

    def of(self, topics: Iterable[str]) -> list[Event]:
        """The events of some topics."""
        wanted = set(topics)
        return [event for (topic, _), events in self.events.items() if topic in wanted for event in events]

    def has_read(self, group: str, event: Event) -> bool:
        """Whether the group has committed an offset behind the event."""
        return self.following.get((group, event.topic, event.partition), 0) > event.offset


async def read_groups(bootstrap: str, groups: Iterable[str], prefix: str = "") -> Following:
    """How far each group has read. Raises KafkaError or TimeoutError."""
    async with _limit("its groups"):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return {
                (group, place.topic.removeprefix(prefix), place.partition): found.offset
                for group in groups
                for place, found in (await _offsets_of(admin, f"{prefix}{group}")).items()
            }
        finally:
            await admin.close()


async def read_topics(bootstrap: str, following: Following, prefix: str = "", since: datetime | None = None) -> Topics:
    """Everything that the topics hold now, or what came `since` then. Raises KafkaError or TimeoutError."""
    async with _limit("its partitions"):
        places = await _places(bootstrap, prefix)
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
    try:
        async with _limit("its offsets"):
            ends = await consumer.end_offsets(places)
            begins = await consumer.beginning_offsets(places)
            if since is not None:
                moment = int(since.timestamp() * 1000)
                found = await consumer.offsets_for_times(dict.fromkeys(places, moment))
                begins = {place: found[place].offset if found.get(place) else ends[place] for place in places}
        events = await _events(consumer, begins, ends, prefix)
    finally:
        await consumer.stop()
    return Topics(events, {_place(place, prefix): offset for place, offset in begins.items()}, following)


async def _offsets_of(admin: AIOKafkaAdminClient, group: str) -> Mapping[Any, Any]:
    """Where a group stands; the first question of all makes the broker look for a place to keep such answers."""
    while True:
        try:
            offsets: Mapping[Any, Any] = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return offsets


async def _events(
    consumer: Any, begins: Mapping[Any, int], ends: Mapping[Any, int], prefix: str
) -> dict[Place, list[Event]]:
    found: dict[Place, list[Event]] = {_place(place, prefix): [] for place in ends}
    left = [place for place in ends if begins[place] < ends[place]]
    consumer.assign(left)
    for place in left:
        consumer.seek(place, begins[place])
    reached, moved_at = -1, time.monotonic()
    while left:
        for place, records in (await consumer.getmany(*left, timeout_ms=500, max_records=5_000)).items():
            found[_place(place, prefix)] += [
                _event(record, prefix) for record in records if record.offset < ends[place]
            ]
        positions = {place: await consumer.position(place) for place in ends if begins[place] < ends[place]}
        left = [place for place in left if positions[place] < ends[place]]
        if sum(positions.values()) > reached:
            reached, moved_at = sum(positions.values()), time.monotonic()
        elif time.monotonic() > moved_at + SECONDS:
            raise TimeoutError(f"Kafka gave no event for {SECONDS:g} s, though there are some")
    return found


async def _places(bootstrap: str, prefix: str) -> list[TopicPartition]:
    """All partitions of the four topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = await admin.describe_topics([topic_of(service, prefix) for service in SERVICES])
    finally:
        await admin.close()
    for topic in topics:
        if topic["error_code"]:
            raise for_code(topic["error_code"])(topic["topic"])
    return [TopicPartition(topic["topic"], part["partition"]) for topic in topics for part in topic["partitions"]]


@asynccontextmanager
async def _limit(what: str) -> AsyncIterator[None]:
    """Raises TimeoutError with a word about what did not come."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise TimeoutError(f"Kafka did not tell {what} in {SECONDS:g} s") from None


def _place(place: Any, prefix: str) -> Place:
    return place.topic.removeprefix(prefix), place.partition


def _event(record: Any, prefix: str) -> Event:
    event = read(record, prefix)
    if isinstance(event, IncomingEvent):
        return Event(event.id, event.type, event.key, event.topic, event.partition, event.offset, event.time)
    return Event("", event.type, event.key, event.topic, event.partition, event.offset, None)
