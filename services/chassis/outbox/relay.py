"""The relay: carries the outbox to Kafka, one leader per service.

Why: it reads unsent rows by position and never "greater than the last" (F-22), and deletes exactly what Kafka has
acknowledged, so leaders that overlap may repeat events but neither lose nor reorder them (S-24).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from services.chassis.config import ServiceSettings
from services.chassis.db import session_settings
from services.chassis.outbox.events import CHANNEL
from services.chassis.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from services.chassis.outbox.publisher import Publisher

log = get_logger(__name__)

_ROWS: Final = 4000
_FEWER: Final = 8  # after a failure so many times fewer rows at once: a slow broker gets what it can take in time
_ROUNDS: Final = 50  # of one run_once, so that `stop` is seen under load
_LEADER_LOCK: Final = "onefold outbox relay"
_NEXT_LEADER_S: Final = 1.0
_BACK_OFF_S: Final = (0.1, 5.0)
_AGE_EVERY_S: Final = 1.0
_WARM_S: Final = 0.25  # after events were seen: look again soon, because not every append notifies (F-29)
_WARM_PAUSE_S: Final = 0.01

# Rows under way are left out by their positions; younger rows of the same keys are all above them.
_READ: Final = """
SELECT position, id::text, aggregateid, type, payload, occurred_at, traceparent
  FROM outbox WHERE position <> ALL($1::bigint[]) ORDER BY position LIMIT $2
"""
_DELETE: Final = "DELETE FROM outbox WHERE position = ANY($1::bigint[])"
_AGE: Final = """
SELECT extract(epoch FROM clock_timestamp() - appended_at)::float8 FROM outbox ORDER BY position LIMIT 1
"""
_TRY_LEAD: Final = "SELECT pg_try_advisory_lock(hashtext($1))"

_relayed = counter("outbox_relayed_total", "Events published and deleted from the outbox")
_age = gauge("outbox_oldest_seconds", "Age of the oldest event that is not in Kafka yet, as its relay last saw it")
_leads = gauge("outbox_relay_leads", "1 while this process is the service's relay")


class Relay:
    """Publishes the outbox of one service to `topic`, which is named without the prefix: `onefold.orders.v1`."""

    name = "relay"

    def __init__(self, settings: ServiceSettings, topic: str, *, send_timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._topic = f"{settings.topic_prefix}{topic}"
        self._source = "/".join(topic.split(".")[:2])
        self._timeout_s = send_timeout_s
        self._session: asyncpg.Connection[Any] | None = None
        self._publisher: Publisher | None = None
        self._leads = False
        self._healthy = False
        self._rows = _ROWS
        self._woken = asyncio.Event()
        self._looked_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`; after any error everything is dropped and begun anew from the lowest position."""
        stopping = asyncio.create_task(self._wake_at(stop))
        back_off, warm_until = _BACK_OFF_S[0], 0.0
        loop = asyncio.get_running_loop()
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    relayed = await self.run_once()
                except Exception as error:  # noqa: BLE001 - whatever it was, the answer is to begin anew
                    log.warning(
                        "relay_begins_anew",
                        topic=self._topic,
                        error=repr(error),
                        pause_s=back_off,
                    )
                    await self._pause(stop, back_off)
                    back_off = min(2 * back_off, _BACK_OFF_S[1])
                    self._rows = max(1, self._rows // _FEWER)
                    continue
                back_off = _BACK_OFF_S[0]
                self._rows = min(_ROWS, 2 * self._rows)
                if relayed:
                    warm_until = loop.time() + _WARM_S
                elif not self._leads:
                    await self._pause(stop, _NEXT_LEADER_S)
                elif await self._wait(loop.time() < warm_until):
                    warm_until = loop.time() + _WARM_S
        finally:
            stopping.cancel()
            await self.close()

    def ready(self) -> bool:
        """Whether it relays, or stands by because another process leads."""
        return self._healthy

    def wake(self) -> None:
        """Look at the outbox at once; for a process that has just committed events and relays them itself."""
        self._woken.set()

    async def run_once(self) -> int:
        """Relay what is there, as leader; returns how many events. 0 also where another process leads."""
        try:
            if not await self._lead():
                return 0
            return await self._drain()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drop the producer without flushing, then the session and with it the lock; in this order."""
        self._leads = self._healthy = False
        _leads.set(0)
        publisher, self._publisher = self._publisher, None
        session, self._session = self._session, None
        if publisher is not None:
            await publisher.drop()
        if session is not None:
            with contextlib.suppress(Exception):
                await session.close(timeout=1)
            session.terminate()

    async def _lead(self) -> bool:
        """A session of its own (no pool, no pooler between) holds the lock and does the deletes."""
        if self._session is None:
            self._session = await asyncpg.connect(
                self._settings.database_url,
                timeout=self._timeout_s,
                command_timeout=self._settings.statement_timeout_ms / 1000 + 5,
                server_settings=session_settings(self._settings, "relay"),
            )
            await self._session.add_listener(CHANNEL, self._notified)
        if not self._leads:
            self._leads = await self._session.fetchval(_TRY_LEAD, _LEADER_LOCK)
            self._healthy = True
            if self._leads:
                log.info("relay_leads", topic=self._topic)
                _leads.set(1)
        if self._leads:
            await self._look_at_age()  # before Kafka is asked, for it counts most while Kafka is away
        if self._leads and self._publisher is None:
            from services.chassis.outbox.publisher import (
                Publisher,
            )  # loads aiokafka: only here (F-62)

            self._publisher = Publisher(
                self._settings.kafka_bootstrap,
                self._topic,
                self._source,
                timeout_s=self._timeout_s,
            )
            await self._publisher.start()
        return self._leads

    async def _look_at_age(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= _AGE_EVERY_S:
            self._looked_at = now
            assert self._session is not None
            _age.set(await self._session.fetchval(_AGE) or 0)

    async def _drain(self) -> int:
        """While one read is on its way to Kafka, the one before is deleted and the next one read."""
        assert self._publisher is not None
        relayed, sent = 0, list[int]()
        rows = await self._read([])
        for _ in range(_ROUNDS):
            if not rows:
                break
            publishing = asyncio.create_task(self._publisher.publish(rows))
            try:
                await self._delete(sent)
                positions = [row["position"] for row in rows]
                ahead = await self._read(positions)
                await publishing
            finally:
                publishing.cancel()
                await asyncio.wait({publishing})
            relayed += len(rows)
            sent, rows = positions, ahead
        await self._delete(sent)
        return relayed

    async def _read(self, under_way: Sequence[int]) -> list[Any]:
        assert self._session is not None
        return await self._session.fetch(_READ, under_way, self._rows)

    async def _delete(self, positions: Sequence[int]) -> None:
        """On the session that holds the lock: where it is lost, nothing is deleted and everything begins anew."""
        if positions:
            assert self._session is not None
            await self._session.execute(_DELETE, positions)
            _relayed.inc(len(positions))

    async def _wait(self, warm: bool) -> bool:
        """Until woken, or for the pause between two looks; true if woken."""
        pause = _WARM_PAUSE_S if warm else self._settings.relay_poll_ms / 1000
        try:
            await asyncio.wait_for(self._woken.wait(), pause)
        except TimeoutError:
            return False
        return True

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    def _notified(self, *_: object) -> None:
        self._woken.set()
