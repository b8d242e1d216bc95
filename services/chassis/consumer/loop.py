"""The Kafka side of a consumer: polls, hands batches over, and commits offsets after the database has committed.

Why: whatever happens between the two commits, a batch is delivered again and its claims say so (F-34, F-37).
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from services.chassis.clock import Clock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import parking
from services.chassis.consumer.apply import Applier, Handler, TooManyParked
from services.chassis.consumer.records import Batch
from services.chassis.db import Database, is_broken_plumbing
from services.chassis.stopping import pause, unless_stopped
from services.chassis.telemetry import gauge, get_logger

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

log = get_logger(__name__)

_POLL_MS: Final = 500
_FETCH_WAIT_MS: Final = 1_000  # an empty answer costs both sides CPU; an event of a partition asked for ends the wait
_LOOK_S: Final = 0.05
_PORTION: Final = 64  # records that are read ahead at once: what the database answers meanwhile waits for no more
_COMMIT_EVERY_S: Final = 0.1  # while batches follow each other; what a crash repeats, the claims recognise
_BACK_OFF_S: Final = (0.1, 10.0)
_KAFKA_TIMEOUT_S: Final = 30.0

_lag = gauge(
    "consumer_lag",
    "Events behind the end of the topics, at the last look",
    ["consumer"],
)


class Stalled(Exception):
    """There are events, but Kafka's client brings none (F-38): the process ends and is started anew."""


class Consumer:
    """Applies the events of `topics` (named without the tests' prefix) by `handler`, one transaction per batch.

    `name` is the consumer in inbox and parked keys, `group` the Kafka group. The handler gets fresh events of keys
    that are not parked, in offset order per key, locks roots itself and returns an outcome for each id; a type that
    it does not know is IGNORED.
    """

    def __init__(
        self,
        *,
        name: str,
        group: str,
        topics: Sequence[str],
        database: Database,
        settings: ServiceSettings,
        handler: Handler,
        clock: Clock,
        stall_after_s: float = 60.0,
    ) -> None:
        self.name = name
        self._group = f"{settings.topic_prefix}{group}"
        self._topics = [f"{settings.topic_prefix}{topic}" for topic in topics]
        self._settings = settings
        self._database = database
        self._applier = Applier(
            consumer=name,
            database=database,
            handler=handler,
            clock=clock,
            parked_per_minute_max=settings.parked_keys_per_minute_max,
        )
        self._kafka: AIOKafkaConsumer | None = None
        self._in_flight = asyncio.Lock()
        self._ahead = Batch()
        self._applied: dict[Any, int] = {}  # offsets that are not committed yet
        self._committing: asyncio.Task[None] | None = None
        self._commit_at = 0.0
        self._halted = False
        self._stop = asyncio.Event()
        self._stall_after_s = stall_after_s
        self._watched_at = 0.0
        self._emptied_at = 0.0
        self._behind: dict[Any, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`. Broken plumbing is waited out; too many parked keys halt it for a person."""
        back_off = _BACK_OFF_S[0]
        self._stop = stop
        try:
            while not stop.is_set():
                try:
                    await self._poll(reads_ahead=True)
                    back_off = _BACK_OFF_S[0]
                    continue
                except TooManyParked as error:
                    self._halted = True
                    log.error("consumer_halted", consumer=self.name, reason=str(error))
                    await self.close()  # another process, perhaps of a better release, gets the partitions
                    await stop.wait()
                except Exception as error:
                    if not is_broken_plumbing(error) and not _is_kafka(error):
                        raise
                    log.warning(
                        "consumer_retries",
                        consumer=self.name,
                        error=repr(error),
                        pause_s=back_off,
                    )
                await pause(stop, back_off)
                back_off = min(2 * back_off, _BACK_OFF_S[1])
        finally:
            self._stop = asyncio.Event()
            await self.close()

    async def run_once(self) -> int:
        """Poll once and apply what came; returns how many records. Broken plumbing is raised, and comes again."""
        return await self._poll(reads_ahead=False)

    def ready(self) -> bool:
        """Whether it is connected and not halted."""
        return self._kafka is not None and not self._halted

    async def close(self) -> None:
        """Leave the group; what was not committed is delivered again."""
        with contextlib.suppress(Exception):
            await self._settle()
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(kafka.stop(), _KAFKA_TIMEOUT_S)

    async def _poll(self, *, reads_ahead: bool) -> int:
        kafka = self._kafka or await self._connect()
        if asyncio.get_running_loop().time() - self._watched_at >= self._stall_after_s:
            await self._watch(kafka)
        if not self._ahead.items:
            self._take(await self._wait(kafka))
        elif room := self._room:
            self._take(await self._look(kafka, room))
        async with self._in_flight:
            batch, self._ahead = self._ahead, Batch()
            if not batch.items:
                return 0
            await self._apply(kafka, batch, reads_ahead)
            self._applied |= batch.ends
            if not self._ahead.items:
                await self._finish_commit()
            elif asyncio.get_running_loop().time() >= self._commit_at:
                await self._finish_commit(waits=False)
        return len(batch.items)

    async def _wait(self, kafka: "AIOKafkaConsumer") -> Mapping[Any, Any]:
        """What comes within a poll; nothing once this process is to stop. What is given up was never applied."""
        return await unless_stopped(self._stop, self._look(kafka, self._room, _POLL_MS)) or {}

    async def _look(self, kafka: "AIOKafkaConsumer", most: int, timeout_ms: int = 0) -> Mapping[Any, Any]:
        """What Kafka's client has, up to `most` records; if they are fewer, it has nothing more of any partition."""
        found: Mapping[Any, Any] = await kafka.getmany(timeout_ms=timeout_ms, max_records=most)
        if sum(map(len, found.values())) < most:
            self._emptied_at = asyncio.get_running_loop().time()
        return found

    async def _apply(self, kafka: "AIOKafkaConsumer", batch: Batch, reads_ahead: bool) -> None:
        """Apply, and while the database works read what comes next; if it fails, all of it comes again."""
        applying = asyncio.create_task(self._applier.apply(batch.items))
        reading = asyncio.create_task(self._read_ahead(kafka, reads_ahead))
        try:
            await applying
        finally:
            applying.cancel()
            reading.cancel()  # in a rebalance it would wait for the new owners, and they for the batch under way
            await asyncio.wait({applying, reading})
            if applying.cancelled() or applying.exception() is not None:
                _rewind(kafka, self._ahead.firsts | batch.firsts)
                self._ahead = Batch()
                self._behind.clear()  # standing still is our own doing
            if not reading.cancelled():
                reading.result()

    async def _read_ahead(self, kafka: "AIOKafkaConsumer", wanted: bool) -> None:
        """What is here and what comes, up to a batch; an error of Kafka's comes again with the next poll.

        It looks again and again: where events lie untaken for 100 ms (aiokafka's `prefetch_backoff`), the next long
        poll leaves their partition out, and what follows them waits until it ends.
        """
        while wanted and (room := self._room):
            await asyncio.sleep(0)
            try:
                found = await self._look(kafka, min(room, _PORTION))
            except Exception as error:
                if not _is_kafka(error):
                    raise
                return
            self._take(found)
            if not found:
                await asyncio.sleep(_LOOK_S)

    @property
    def _room(self) -> int:
        return self._settings.consumer_batch_max - len(self._ahead.items)

    def _take(self, by_partition: Any) -> None:
        for place, records in by_partition.items():
            self._ahead.add(place, records, self._settings.topic_prefix)

    async def _settle(self) -> None:
        """Before partitions are given up: what was applied is committed, and what was read ahead is forgotten."""
        self._ahead = Batch()
        await self._finish_commit()

    async def _finish_commit(self, *, waits: bool = True) -> None:
        """Commit what was applied, after the commit under way, if there is one; without `waits` only begin to."""
        committing, self._committing = self._committing, None
        if committing is not None:
            await committing
        offsets, self._applied = self._applied, {}
        if offsets and self._kafka is not None:
            self._commit_at = asyncio.get_running_loop().time() + _COMMIT_EVERY_S
            self._committing = asyncio.create_task(self._commit(self._kafka, offsets))
            if waits:
                await self._finish_commit()

    async def _connect(self) -> "AIOKafkaConsumer":
        from aiokafka import (
            AIOKafkaConsumer,
        )  # loaded only by roles that consume (F-62)

        from services.chassis.consumer.rebalance import FinishFirst

        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=self._settings.consumer_batch_max,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        kafka.subscribe(self._topics, listener=FinishFirst(self._in_flight, self._settle))
        try:
            await asyncio.wait_for(kafka.start(), _KAFKA_TIMEOUT_S)
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(kafka.stop(), _KAFKA_TIMEOUT_S)
            raise
        self._kafka = kafka
        await parking.look_at_parked(self._database, self.name)
        self._watched_at, self._behind = asyncio.get_running_loop().time(), {}
        return kafka

    async def _commit(self, kafka: "AIOKafkaConsumer", offsets: Any) -> None:
        """A commit that fails costs a second delivery, which the claims recognise."""
        try:
            await asyncio.wait_for(kafka.commit(offsets), _KAFKA_TIMEOUT_S)
        except Exception as error:
            if not _is_kafka(error) and not isinstance(error, TimeoutError):
                raise
            log.warning("offsets_not_committed", consumer=self.name, error=repr(error))

    async def _watch(self, kafka: "AIOKafkaConsumer") -> None:
        """Which partition was behind at the last look and has not moved since? The fetcher may be dead, so ask anew.

        While there is a backlog, aiokafka hands over one partition after the other: one stands still only if, a good
        while after the last look, the client had nothing of it in memory.
        """
        await parking.look_at_parked(self._database, self.name)
        behind_before, self._behind = self._behind, {}
        async with asyncio.timeout(_KAFKA_TIMEOUT_S):
            assigned = list(kafka.assignment())
            ends = await kafka.end_offsets(assigned) if assigned else {}
            positions = {place: await kafka.position(place) for place in assigned}
        behind = {place: position for place, position in positions.items() if ends[place] > position}
        _lag.labels(self.name).set(sum(ends[place] - position for place, position in behind.items()))
        brings_nothing = self._emptied_at - self._watched_at >= self._stall_after_s / 2
        stuck = [place for place, position in behind.items() if behind_before.get(place) == position]
        if brings_nothing and stuck:
            raise Stalled(f"{self.name}: no event in {self._stall_after_s} s from {stuck}, though there are some")
        self._watched_at, self._behind = asyncio.get_running_loop().time(), behind


def _rewind(kafka: "AIOKafkaConsumer", offsets: Mapping[Any, int]) -> None:
    """The next poll brings the same records again; partitions that were taken away are somebody else's now."""
    for place, offset in offsets.items():
        if place in kafka.assignment():
            kafka.seek(place, offset)


def _is_kafka(error: Exception) -> bool:
    from aiokafka.errors import KafkaError

    return isinstance(error, KafkaError)
