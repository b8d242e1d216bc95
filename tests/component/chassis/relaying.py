"""Looks at an outbox and its topic, and a way to Kafka that can fall silent, for the tests of the relay.

Why: what counts is what a reader of the topic sees first, whatever was published twice.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.chassis.config import ServiceSettings
from services.chassis.db import Database
from services.chassis.outbox import OutgoingEvent, append
from tests.component.chassis.messaging import TOPIC


async def append_now(db: Database, *events: OutgoingEvent) -> None:
    async with db.transaction() as tx:
        await append(tx, events)


async def unsent(db: Database) -> list[str]:
    return [row["id"] for row in await db.fetch("SELECT id::text FROM outbox ORDER BY position")]


async def published(settings: ServiceSettings) -> list[Any]:
    """All records of the topic, partition by partition."""
    topic = f"{settings.topic_prefix}{TOPIC}"
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, isolation_level="read_committed")
    await reader.start()
    records: list[Any] = []
    try:
        places = [TopicPartition(topic, partition) for partition in range(8)]
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        ends = await reader.end_offsets(places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for of_partition in (await reader.getmany(timeout_ms=100)).values():
                records += of_partition
    finally:
        await reader.stop()
    return records


def first_seen(records: Sequence[Any]) -> dict[str, list[str]]:
    """By key, the ids in the order in which each was seen first."""
    order: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        event_id = dict(record.headers)["ce_id"].decode()
        if event_id not in order[record.key.decode()]:
            order[record.key.decode()].append(event_id)
    return dict(order)


def by_key(events: Sequence[OutgoingEvent]) -> dict[str, list[str]]:
    order: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        order[event.key].append(event.id)
    return dict(order)


class Link:
    """The way to a broker, which can fall silent: nothing goes through and nothing is refused."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.silent = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                if not self.silent:
                    target.write(data)
                    await target.drain()
        finally:
            target.close()
