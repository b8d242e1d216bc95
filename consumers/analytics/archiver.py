"""The archiver: keeps every event of every topic, for ever, exactly once.

Why: files are the truth about what was archived. It goes on behind their last offset and tells Kafka afterwards, so
that a crash at any point, a reset of offsets or a second delivery neither lose an event nor keep it twice.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from consumers.analytics import files, parquet
from consumers.analytics.compaction import Compaction
from consumers.analytics.config import AnalyticsSettings
from consumers.analytics.events import TOPICS
from consumers.analytics.rows import Row, row_of
from services.chassis.clock import Clock
from services.chassis.stopping import pause, unless_stopped
from services.chassis.telemetry import counter, gauge, get_logger

log = get_logger(__name__)

GROUP: Final = "onefold.analytics"
_POLL_MS: Final = 2_000  # the first event, a stop and the next write end it
# After events: the next ones come together, not one by one. Less than aiokafka's `prefetch_backoff` of 100 ms: where
# events lie untaken for longer, the next long poll leaves their partition out.
_GATHER_S: Final = 0.05
_FETCH_WAIT_MS: Final = 500  # what comes while files are written, and its partition is left out, waits no longer
_BACK_OFF_S: Final = (0.1, 10.0)
_TIMEOUT_S: Final = 30.0
_STALL: Final = timedelta(seconds=60)
_AT_ONCE: Final = 1_000  # records of one poll

_archived = counter("archived_events_total", "Events written to the archive", ["topic"])
_unreadable = counter("archived_unreadable_total", "Records that are archived though they cannot be read", ["topic"])
_waiting = gauge("archive_waiting_events", "Events in memory that are not written yet")


class ArchiveMismatch(Exception):
    """The archive belongs to another Kafka, or holds more than the topic ever had."""


class Archiver:
    """A component, the only writer of its folder."""

    name = "archiver"

    def __init__(self, settings: AnalyticsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._kafka: AIOKafkaConsumer | None = None
        self._compaction = Compaction(settings, clock)
        self._pending: dict[TopicPartition, list[Row]] = {}
        self._bytes = 0
        self._since = self._looked_at = clock.now()
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Archive until `stop`, then write what is left. Whatever breaks, it goes on from the files."""
        back_off = _BACK_OFF_S[0]
        self._stop = stop
        with files.writing(self._settings.folder):
            try:
                while not stop.is_set():
                    try:
                        came = await self.run_once()
                        back_off = _BACK_OFF_S[0]
                        if 0 < came < _AT_ONCE:
                            await pause(stop, _GATHER_S)
                    except (KafkaError, OSError) as error:
                        log.warning("archiver_retries", error=repr(error), pause_s=back_off)
                        await self.close()
                        await pause(stop, back_off)
                        back_off = min(2 * back_off, _BACK_OFF_S[1])
                await self._flush_at_last()
            finally:
                await self.close()

    def ready(self) -> bool:
        """Whether it is connected."""
        return self._kafka is not None

    async def run_once(self) -> int:
        """Poll once, write if it is time; returns how many records came."""
        kafka = self._kafka or await self._connect()
        by_partition = await self._poll(kafka)
        now = self._clock.now()
        came = 0
        for place, records in by_partition.items():
            rows = [row_of(record, self._settings.topic_prefix) for record in records]
            if not self._pending:
                self._since = now
            self._pending.setdefault(place, []).extend(rows)
            self._bytes += sum(row.size for row in rows)
            came += len(rows)
        if came:
            self._looked_at = now
        waiting = sum(map(len, self._pending.values()))
        _waiting.set(waiting)
        if waiting >= self._settings.flush_events or self._bytes >= self._settings.flush_bytes or self._is_late():
            await self.flush()
        if now - self._looked_at >= _STALL:
            await self._require_progress(kafka)
        await self._compaction.run_once()
        return came

    async def flush(self) -> None:
        """Write what waits in memory, then tell Kafka how far it got."""
        pending, self._pending, self._bytes = self._pending, {}, 0
        if not pending:
            return
        for rows in pending.values():
            written = await asyncio.to_thread(parquet.write, self._settings.folder, rows)
            self._compaction.note(written)
            _archived.labels(rows[0].topic).inc(len(rows))
            _unreadable.labels(rows[0].topic).inc(sum(row.event_id is None for row in rows))
        _waiting.set(0)
        if self._kafka is not None:
            offsets = {place: rows[-1].offset + 1 for place, rows in pending.items()}
            await asyncio.wait_for(self._kafka.commit(offsets), _TIMEOUT_S)

    async def _flush_at_last(self) -> None:
        """What cannot be written now comes again at the next start."""
        try:
            await self.flush()
        except (KafkaError, OSError) as error:
            log.warning("archiver_stops_unwritten", error=repr(error))

    async def close(self) -> None:
        """Leave Kafka and forget what was not written: it comes again."""
        kafka, self._kafka = self._kafka, None
        self._pending, self._bytes = {}, 0
        if kafka is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(kafka.stop(), _TIMEOUT_S)

    async def _poll(self, kafka: AIOKafkaConsumer) -> Mapping[TopicPartition, Sequence[Any]]:
        """What comes until it is time to write or to stop."""
        wait = timedelta(milliseconds=_POLL_MS)
        if self._pending:
            wait = max(timedelta(), min(wait, self._write_at() - self._clock.now()))
        timeout_ms = int(wait / timedelta(milliseconds=1))
        polling = kafka.getmany(timeout_ms=timeout_ms, max_records=_AT_ONCE)
        return await unless_stopped(self._stop, polling) or {}  # what it would have brought comes at the next start

    def _write_at(self) -> datetime:
        """When what waits in memory is written: it is old enough, or nothing seems to follow."""
        return min(
            self._since + timedelta(milliseconds=self._settings.flush_ms),
            self._looked_at + timedelta(milliseconds=self._settings.quiet_ms),
        )

    def _is_late(self) -> bool:
        return bool(self._pending) and self._clock.now() >= self._write_at()

    async def _connect(self) -> AIOKafkaConsumer:
        """All partitions of all topics, each from behind its last archived event."""
        places = await self._places()
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            group_id=f"{self._settings.topic_prefix}{GROUP}",  # only to remember offsets: partitions are not shared out
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_bytes=8 * 1024 * 1024,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            await asyncio.wait_for(kafka.start(), _TIMEOUT_S)
            kafka.assign(places)
            async with asyncio.timeout(_TIMEOUT_S):
                await self._go_on(kafka, places)
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(kafka.stop(), _TIMEOUT_S)
            raise
        self._kafka = kafka
        self._looked_at = self._clock.now()
        return kafka

    async def _places(self) -> list[TopicPartition]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka_bootstrap)
        await asyncio.wait_for(admin.start(), _TIMEOUT_S)
        try:
            cluster = (await admin.describe_cluster())["cluster_id"]
            topics = await admin.describe_topics([f"{self._settings.topic_prefix}{topic}" for topic in TOPICS])
        finally:
            await admin.close()
        if (other := files.of_cluster(self._settings.folder, cluster)) != cluster:
            raise ArchiveMismatch(f"{self._settings.folder} is the archive of Kafka {other}, and this is {cluster}")
        for topic in topics:
            if topic["error_code"]:
                raise for_code(topic["error_code"])(topic["topic"])
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in topics
            for partition in topic["partitions"]
        ]

    async def _go_on(self, kafka: AIOKafkaConsumer, places: list[TopicPartition]) -> None:
        following = await asyncio.to_thread(files.next_offsets, self._settings.folder)
        begins, ends = await kafka.beginning_offsets(places), await kafka.end_offsets(places)
        for place in places:
            topic = place.topic.removeprefix(self._settings.topic_prefix)
            offset = following.get((topic, place.partition), 0)
            if offset > ends[place]:
                raise ArchiveMismatch(
                    f"{topic}, partition {place.partition}: the archive ends at {offset}, the topic at {ends[place]}"
                )
            if 0 < offset < begins[place]:  # longer away than the topic keeps events (S-28)
                log.error("events_not_archived", topic=topic, partition=place.partition, lost=begins[place] - offset)
            kafka.seek(place, max(offset, begins[place]))

    async def _require_progress(self, kafka: AIOKafkaConsumer) -> None:
        """Nothing came for a while: is there really nothing? The client's fetcher may be dead (F-38)."""
        self._looked_at = self._clock.now()
        async with asyncio.timeout(_TIMEOUT_S):
            places: Any = kafka.assignment()
            ends = await kafka.end_offsets(places)
            behind = [place for place in places if await kafka.position(place) < ends[place]]
        if behind:
            raise ConnectionError(f"no event came from {behind}, though there are some")
