"""The Kafka side of a consumer: polls, hands batches over, and commits offsets after the database has committed.

Why: whatever happens between the two commits, a batch is delivered again and its claims say so (F-34, F-37).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from services.chassis.clock import Clock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import parking
from services.chassis.consumer.apply import Applier, Handler, TooManyParked
from services.chassis.consumer.records import read
from services.chassis.db import Database, is_broken_plumbing
from services.chassis.telemetry import gauge, get_logger

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

log = get_logger(__name__)

_POLL_MS: Final = 500
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
        self._halted = False
        self._stall_after_s = stall_after_s
        self._watched_at = 0.0
        self._behind: dict[Any, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`. Broken plumbing is waited out; too many parked keys halt it for a person."""
        back_off = _BACK_OFF_S[0]
        try:
            while not stop.is_set():
                try:
                    await self._poll(stop)
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
                await _pause(stop, back_off)
                back_off = min(2 * back_off, _BACK_OFF_S[1])
        finally:
            await self.close()

    async def run_once(self) -> int:
        """Poll once and apply what came; returns how many records. Broken plumbing is raised, and comes again."""
        return await self._poll(None)

    def ready(self) -> bool:
        """Whether it is connected and not halted."""
        return self._kafka is not None and not self._halted

    async def close(self) -> None:
        """Leave the group; what was not committed is delivered again."""
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(kafka.stop(), _KAFKA_TIMEOUT_S)

    async def _poll(self, stop: asyncio.Event | None) -> int:
        kafka = self._kafka or await self._connect()
        if asyncio.get_running_loop().time() - self._watched_at >= self._stall_after_s:
            await self._watch(kafka)
        by_partition = await kafka.getmany(timeout_ms=_POLL_MS, max_records=self._settings.consumer_batch_max)
        if not by_partition:
            return 0
        async with self._in_flight:
            records = [record for of_partition in by_partition.values() for record in of_partition]
            try:
                await self._applier.apply([read(record, self._settings.topic_prefix) for record in records])
            except BaseException:
                _rewind(kafka, by_partition)
                self._behind.clear()  # standing still is our own doing
                raise
            await self._commit(kafka, {place: of[-1].offset + 1 for place, of in by_partition.items()})
        return len(records)

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
        )
        kafka.subscribe(self._topics, listener=FinishFirst(self._in_flight))
        try:
            await asyncio.wait_for(kafka.start(), _KAFKA_TIMEOUT_S)
        except BaseException:
            await kafka.stop()
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
        """Which partition was behind at the last look and has not moved since? The fetcher may be dead, so ask anew."""
        await parking.look_at_parked(self._database, self.name)
        behind_before, self._behind = self._behind, {}
        async with asyncio.timeout(_KAFKA_TIMEOUT_S):
            assigned = list(kafka.assignment())
            ends = await kafka.end_offsets(assigned) if assigned else {}
            positions = {place: await kafka.position(place) for place in assigned}
        behind = {place: position for place, position in positions.items() if ends[place] > position}
        _lag.labels(self.name).set(sum(ends[place] - position for place, position in behind.items()))
        if stuck := [place for place, position in behind.items() if behind_before.get(place) == position]:
            raise Stalled(f"{self.name}: no event in {self._stall_after_s} s from {stuck}, though there are some")
        self._watched_at, self._behind = asyncio.get_running_loop().time(), behind


def _rewind(kafka: "AIOKafkaConsumer", by_partition: Any) -> None:
    """The next poll brings the same records again; partitions that were taken away are somebody else's now."""
    for place, records in by_partition.items():
        if place in kafka.assignment():
            kafka.seek(place, records[0].offset)


def _is_kafka(error: Exception) -> bool:
    from aiokafka.errors import KafkaError

    return isinstance(error, KafkaError)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
