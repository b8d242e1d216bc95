"""Publishes rows of the outbox to one Kafka topic.

Why: at most one unacknowledged batch per partition, and a producer that failed is dropped and never flushed: whatever
is sent again, and however often, the events of one key first appear in their order (S-24).
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

Headers = tuple[tuple[str, bytes], ...]

_MAX_BATCH_BYTES: Final = 900_000  # below the broker's message.max.bytes (1 MiB), above the largest event
_KEYS_REMEMBERED: Final = 50_000


class Publisher:
    """One producer of one topic; after any error it is of no use any more and has to be dropped."""

    def __init__(self, bootstrap: str, topic: str, source: str, *, timeout_s: float) -> None:
        self._topic = topic
        self._source = source.encode()
        self._timeout_s = timeout_s
        self._partitions: list[int] = []
        self._by_key: dict[str, int] = {}
        self._partitioner = DefaultPartitioner()
        # acks=all and idempotence: aiokafka's defaults are unsafe (F-34).
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_MAX_BATCH_BYTES,
            request_timeout_ms=int(timeout_s * 1000),
            linger_ms=0,
        )

    async def start(self) -> None:
        """Connect, and read the topic's partitions once: their number never changes while the topic lives."""
        async with asyncio.timeout(self._timeout_s):
            await self._producer.start()
            self._partitions = sorted(await self._producer.partitions_for(self._topic))

    async def publish(self, rows: Sequence[Any]) -> None:
        """Send rows of the outbox in their order and wait until Kafka has acknowledged all. Raises on any doubt."""
        by_partition: defaultdict[int, list[Any]] = defaultdict(list)
        for row in rows:
            by_partition[self._partition_of(row["aggregateid"])].append(row)
        # An idempotent producer never gives a batch up by itself (F-36), so the wait is bounded here.
        async with asyncio.timeout(self._timeout_s):
            async with asyncio.TaskGroup() as group:
                for partition, of_partition in by_partition.items():
                    group.create_task(self._publish_in_order(partition, of_partition))

    async def drop(self) -> None:
        """Close without sending what is left: `stop()` would flush, or hang (F-36). Never raises, never waits long."""
        producer, tasks = self._producer, []
        if producer._sender is not None:
            tasks.append(asyncio.create_task(producer._sender.close()))
        tasks.append(asyncio.create_task(producer.client.close()))
        producer._closed = True
        await asyncio.wait(tasks, timeout=self._timeout_s)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish_in_order(self, partition: int, rows: Sequence[Any]) -> None:
        batch = self._producer.create_batch()
        for row in rows:
            if not self._append(batch, row):
                await self._send(batch, partition)
                batch = self._producer.create_batch()
                if not self._append(batch, row):
                    raise ValueError(f"event {row['id']} does not fit into a batch")
        await self._send(batch, partition)

    def _append(self, batch: Any, row: Any) -> bool:
        appended = batch.append(
            key=row["aggregateid"].encode(),
            value=row["payload"],
            timestamp=None,
            headers=self._headers(row),
        )
        return appended is not None

    async def _send(self, batch: Any, partition: int) -> None:
        batch.close()
        acknowledged = await self._producer.send_batch(batch, self._topic, partition=partition)
        await acknowledged

    def _headers(self, row: Any) -> list[tuple[str, bytes]]:
        """CloudEvents in binary mode, and `id` as Debezium's router writes it."""
        event_id = row["id"].encode()
        headers = [
            ("id", event_id),
            ("ce_id", event_id),
            ("ce_type", row["type"].encode()),
            ("ce_source", self._source),
            ("ce_time", _rfc3339(row["occurred_at"])),
            ("ce_specversion", b"1.0"),
        ]
        if row["traceparent"]:
            headers.append(("traceparent", row["traceparent"].encode()))
        return headers

    def _partition_of(self, key: str) -> int:
        """Kafka's own rule (murmur2), remembered: it is slow in Python, and an order has many events."""
        partition = self._by_key.get(key)
        if partition is None:
            if len(self._by_key) >= _KEYS_REMEMBERED:
                self._by_key.clear()
            partition = self._by_key[key] = self._partitioner(key.encode(), self._partitions, self._partitions)
        return partition


def _rfc3339(moment: datetime) -> bytes:
    return moment.isoformat().replace("+00:00", "Z").encode()
