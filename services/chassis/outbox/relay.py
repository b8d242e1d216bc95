"""The relay: carries the outbox to Kafka, one leader per service.

Why: it reads unsent rows by position and never "greater than the last" (F-22), and deletes exactly what Kafka has
acknowledged, so leaders that overlap may repeat events but neither lose nor reorder them (S-24).
"""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

from services.chassis.config import ServiceSettings
from services.chassis.db import session_settings
from services.chassis.outbox.events import CHANNEL
from services.chassis.stopping import pause
from services.chassis.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from services.chassis.outbox.publisher import Publisher

log = get_logger(__name__)

_ROWS: Final = 4000
_FEWER: Final = 8  # after a failure so many times fewer rows at once: a slow broker gets what it can take in time
_TURNS: Final = 4  # reads whose rows are on their way to Kafka
_LONGEST_S: Final = 2.0  # of one run_once, so that `stop` is seen under load
_LEADER_LOCK: Final = "onefold outbox relay"
_NEXT_LEADER_S: Final = 1.0
_BACK_OFF_S: Final = (0.1, 5.0)
_AGE_EVERY_S: Final = 1.0
_SOON_S: Final = 0.001  # after events were seen: look again soon, because not every append notifies (F-29)
_LATER: Final = 4  # after a look that found nothing so many times later, until the pause is the setting's

# $1 has been acknowledged and goes; $1 and what is under way ($2) is left out, exactly: a row that commits late has a
# lower position than its neighbours and must be found all the same (F-22), and younger rows of the keys under way are
# all above them.
_DELETE_AND_READ: Final = """
WITH deleted AS (
    DELETE FROM outbox USING unnest($1::int8multirange) AS run
     WHERE position >= lower(run) AND position < upper(run)
)
SELECT position, id::text, aggregateid, type, payload,
       to_json(occurred_at AT TIME ZONE 'UTC')::text AS quoted_time, traceparent
  FROM outbox WHERE NOT position <@ $2::int8multirange ORDER BY position LIMIT $3
"""
_AGE: Final = """
SELECT extract(epoch FROM clock_timestamp() - appended_at)::float8 FROM outbox ORDER BY position LIMIT 1
"""
_TRY_LEAD: Final = "SELECT pg_try_advisory_lock(hashtext($1))"

_relayed = counter("outbox_relayed_total", "Events published and deleted from the outbox")
_age = gauge("outbox_oldest_seconds", "Age of the oldest event that is not in Kafka yet, as its relay last saw it")
_leads = gauge("outbox_relay_leads", "1 while this process is the service's relay")


@dataclass(frozen=True, slots=True)
class Turn:
    """Rows that were read at once: how many, and exactly which, as ranges."""

    count: int
    positions: Sequence["asyncpg.Range[int]"]

    @classmethod
    def of(cls, ascending: Sequence[int]) -> Self:
        """Of at least one position. Most are neighbours, so a few ranges say all that a long array would."""
        starts, ends = [ascending[0]], list[int]()
        if ascending[-1] - ascending[0] >= len(ascending):
            for before, after in pairwise(ascending):
                if after - before > 1:
                    ends.append(before)
                    starts.append(after)
        ends.append(ascending[-1])
        return cls(
            len(ascending), [asyncpg.Range(*ends_of, upper_inc=True) for ends_of in zip(starts, ends, strict=True)]
        )


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
        self._longest = settings.relay_poll_ms / 1000
        self._pause = _SOON_S
        self._looked_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`; after any error everything is dropped and begun anew from the lowest position."""
        stopping = asyncio.create_task(self._wake_at(stop))
        back_off = _BACK_OFF_S[0]
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    await self.run_once()
                except Exception as error:  # noqa: BLE001 - whatever it was, the answer is to begin anew
                    log.warning(
                        "relay_begins_anew",
                        topic=self._topic,
                        error=repr(error),
                        pause_s=back_off,
                    )
                    await pause(stop, back_off)
                    back_off = min(2 * back_off, _BACK_OFF_S[1])
                    self._rows = max(1, self._rows // _FEWER)
                    continue
                back_off = _BACK_OFF_S[0]
                self._rows = min(_ROWS, 2 * self._rows)
                if self._leads:
                    await self._wait()
                else:
                    await pause(stop, _NEXT_LEADER_S)
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
                server_settings=self._session_settings(),
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

    def _session_settings(self) -> dict[str, str]:
        """A delete that a crash undoes was acknowledged: its rows are sent again in their order, and consumers know
        them. So no delete waits for the disk.

        A leader that hangs (SIGSTOP, a frozen machine) gives way: the server ends a session that says nothing, or
        takes no answer, for longer than any pause or call may last.

        A look is planned once: it goes by position whatever the table is like (F-57 is about other statements), and
        to plan it anew took twice as long as to run it.
        """
        silence_ms = str(2 * (self._settings.relay_poll_ms + round(self._timeout_s * 1000)))
        ours = {"synchronous_commit": "off", "idle_session_timeout": silence_ms, "tcp_user_timeout": silence_ms}
        planned_once = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
        return session_settings(self._settings, "relay") | ours | planned_once

    async def _look_at_age(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= _AGE_EVERY_S:
            self._looked_at = now
            assert self._session is not None
            _age.set(await self._session.fetchval(_AGE) or 0)

    async def _drain(self) -> int:
        """Until nothing is left, or for a while: delete what was acknowledged and read on, while turns are under way.

        New rows never wait for the acknowledgement of others, only for that of their own partition. What was
        acknowledged does not make a look of its own necessary: its delete goes with the next one, which is near.
        """
        assert self._publisher is not None
        loop = asyncio.get_running_loop()
        until, relayed = loop.time() + _LONGEST_S, 0
        turns: dict[asyncio.Task[None], Turn] = {}
        acknowledged: list[Turn] = []
        try:
            while True:
                self._woken.clear()
                most = self._rows if loop.time() < until else 0
                rows = await self._delete_and_read(acknowledged, turns.values(), most)
                if rows:
                    task = asyncio.create_task(self._publisher.publish(rows))
                    task.add_done_callback(self._turn_ended)
                    turns[task] = Turn.of([row["position"] for row in rows])
                if not turns:
                    if not most:
                        self._woken.set()  # what came meanwhile, with a NOTIFY or without, was not looked for
                    return relayed
                if not most or len(turns) == _TURNS:
                    await asyncio.wait(turns, return_when=asyncio.FIRST_COMPLETED)
                elif len(rows) < self._rows:
                    await self._wait()
                acknowledged = [turns.pop(task) for task in list(turns) if task.done() and not task.result()]
                relayed += sum(turn.count for turn in acknowledged)
        finally:
            for task in turns:
                task.cancel()
            await asyncio.gather(*turns, return_exceptions=True)

    async def _delete_and_read(self, done: Sequence[Turn], under_way: Collection[Turn], most: int) -> list[Any]:
        """On the session that holds the lock: where it is lost, nothing is deleted and everything begins anew."""
        assert self._session is not None
        deleted = [run for turn in done for run in turn.positions]
        left_out = [*deleted, *(run for turn in under_way for run in turn.positions)]
        rows = await self._session.fetch(_DELETE_AND_READ, deleted, left_out, most)
        _relayed.inc(sum(turn.count for turn in done))
        if most:
            self._pause = _SOON_S if rows else min(_LATER * self._pause, self._longest)
        return rows

    async def _wait(self) -> None:
        """Until woken, or until it is time for another look."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._woken.wait()

    def _turn_ended(self, _: object) -> None:
        if self._pause > _SOON_S:
            self._woken.set()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    def _notified(self, *_: object) -> None:
        self._woken.set()
