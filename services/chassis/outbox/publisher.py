"""Publishes rows of the outbox to one Kafka topic.

Why: at most one unacknowledged batch per partition, and a producer that failed is dropped and never flushed: whatever
is sent again, and however often, the events of one key first appear in their order (S-24).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from services.chassis.outbox.murmur import partitions_of

_MAX_BATCH_BYTES: Final = 900_000  # below the broker's message.max.bytes (1 MiB), above the largest event
_VERSION: Final = ("ce_specversion", b"1.0")


class NotAcknowledged(Exception):
    """What had to be in Kafka first may not be there."""


class Publisher:
    """One producer of one topic; after any error it is of no use any more and has to be dropped."""

    def __init__(self, bootstrap: str, topic: str, source: str, *, timeout_s: float) -> None:
        self._topic = topic
        self._source = ("ce_source", source.encode())
        self._timeout_s = timeout_s
        self._partitions: list[int] = []
        self._last: dict[int, asyncio.Task[None]] = {}
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
        """Send rows of the outbox in their order and wait until Kafka has acknowledged all. Raises on any doubt.

        Calls may overlap: in each partition the rows of a later call wait for those of the earlier ones, and if those
        fail, they are not sent at all.
        """
        # An idempotent producer never gives a batch up by itself (F-36), so the wait is bounded here.
        async with asyncio.timeout(self._timeout_s), asyncio.TaskGroup() as group:
            for partition, batches in self._batches(rows).items():
                before = self._last.get(partition)
                self._last[partition] = group.create_task(self._send(partition, batches, before))

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

    def _batches(self, rows: Sequence[Any]) -> dict[int, list[Any]]:
        """Partition -> full batches, in order. Columns are READ's; headers are CloudEvents' in binary mode, and `id`
        as Debezium's router writes it."""
        keys = [row["aggregateid"].encode() for row in rows]
        batches: dict[int, list[Any]] = {}
        types: dict[str, tuple[str, bytes]] = {}
        places = partitions_of(keys, len(self._partitions))
        for place, key, (_, text, _, kind, payload, quoted, trace) in zip(places, keys, rows, strict=True):
            event_id = text.encode()
            if (type_header := types.get(kind)) is None:
                type_header = types[kind] = ("ce_type", kind.encode())
            headers = [
                ("id", event_id),
                ("ce_id", event_id),
                type_header,
                self._source,
                ("ce_time", b"%bZ" % quoted.encode()[1:-1]),
                _VERSION,
            ]
            if trace:
                headers.append(("traceparent", trace.encode()))
            if (of_partition := batches.get(place)) is None:
                of_partition = batches[place] = [self._producer.create_batch()]
            if of_partition[-1].append(key=key, value=payload, timestamp=None, headers=headers) is None:
                of_partition.append(self._producer.create_batch())
                if of_partition[-1].append(key=key, value=payload, timestamp=None, headers=headers) is None:
                    raise ValueError(f"event {text} does not fit into a batch")
        return {self._partitions[place]: of_partition for place, of_partition in batches.items()}

    async def _send(self, partition: int, batches: Sequence[Any], before: asyncio.Task[None] | None) -> None:
        """One batch after the other, when all that went before has been acknowledged; raises if it has not been."""
        if before is not None:
            await asyncio.wait({before})
            if before.cancelled() or before.exception() is not None:
                raise NotAcknowledged(f"the batch before, of partition {partition}")
        for batch in batches:
            batch.close()
            acknowledged = await self._producer.send_batch(batch, self._topic, partition=partition)
            await acknowledged
