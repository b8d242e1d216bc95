"""Group commit: commands that arrive while a flush is under way form the next one.

Why: one transaction for many commands is many times cheaper than one for each, and without a timer a lone command
waits for nothing (DESIGN 3).
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Generic, TypeVar

import asyncpg

from services.chassis.config import ServiceSettings
from services.chassis.db import is_broken_plumbing
from services.chassis.defects import shown
from services.chassis.errors import DeadlineExpired, DependencyUnavailable, DomainError, Overloaded
from services.chassis.telemetry import BATCH_SIZES, counter, gauge, get_logger, histogram

C = TypeVar("C")
R = TypeVar("R")
log = get_logger(__name__)

_sizes = histogram("batch_commands", "commands per flush", ["batcher"], buckets=BATCH_SIZES)
_seconds = histogram("batch_flush_seconds", "time of a flush, tries included", ["batcher"])
_waiting = gauge("batch_waiting_commands", "commands that wait for a flush", ["batcher"])
_retries = counter("batch_retries_total", "flushes tried again", ["batcher", "cause"])

_CANCELLED_IN_A_ROW = 3  # statement time-outs after which the commands run one by one (S-26)
_SHARE_TO_OVERLAP = 4  # another flush begins beside one under way for such a share of a full batch


@dataclass(frozen=True, slots=True)
class Retry:
    """How a flush is repeated after broken plumbing: back-off between tries, and how long without any deadline."""

    first: timedelta = timedelta(milliseconds=20)
    longest: timedelta = timedelta(seconds=1)
    within: timedelta = timedelta(seconds=30)


class Batcher(Generic[C, R]):
    """Hands commands to `flush` in batches, one flush at a time, in a task of its own.

    With `flushes` above one, further flushes begin while one is under way, but only when a quarter of a full batch
    waits: one computes while the other waits for the database, as two processes would, and few callers still share one.

    `flush` answers each command in order, by a result or by a DomainError. If it raises, each command runs alone, so
    that only the bad one fails; if the plumbing broke (S-26), the whole batch runs again until its deadlines have
    passed. So a flush must be safe to repeat. A cancelled caller changes nothing for the others: its command is
    dropped if its flush has not begun, else finished.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[C]], Awaitable[Sequence[R | DomainError]]],
        *,
        name: str,
        max_batch: int = 256,
        max_queue: int = 2048,
        flushes: int = 1,
        retry: Retry | None = None,
    ) -> None:
        self._flush = flush
        self._name = name
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._flushes = flushes
        self._enough = max(1, max_batch // _SHARE_TO_OVERLAP)
        self._retry = retry or Retry()
        self._queue: deque[_Entry[C, R]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._closed = False
        self._sizes = _sizes.labels(name)
        self._seconds = _seconds.labels(name)
        _waiting.labels(name).set_function(lambda: len(self._queue))

    async def submit(self, command: C, *, deadline: float | None = None) -> R:
        """The result of one command. Raises its DomainError, Overloaded, DeadlineExpired, DependencyUnavailable.

        `deadline` is a time of the event loop; once it has passed, the command is not begun.
        """
        (future,) = self._enqueue((command,), deadline)
        outcome = await future
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def submit_all(self, commands: Sequence[C], *, deadline: float | None = None) -> list[R | DomainError]:
        """The results or DomainErrors of several commands, in order; a defect of one is Internal and loses no other.

        Raises Overloaded if not all find room.
        """
        futures = self._enqueue(commands, deadline)
        try:
            if futures:
                await asyncio.wait(futures)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()  # what has not begun is dropped
            raise
        return [shown(error, "command") if (error := each.exception()) else each.result() for each in futures]

    async def close(self) -> None:
        """Take no more commands, finish those that wait."""
        self._closed = True
        while self._workers:
            await asyncio.wait(self._workers)

    def _enqueue(self, commands: Sequence[C], deadline: float | None) -> "list[asyncio.Future[R | DomainError]]":
        if self._closed:
            raise DependencyUnavailable("the service is shutting down")
        if len(self._queue) + len(commands) > self._max_queue:
            raise Overloaded
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R | DomainError]] = [loop.create_future() for _ in commands]
        for command, future in zip(commands, futures, strict=True):
            self._queue.append(_Entry(command, future, deadline))
        if futures and len(self._workers) < self._flushes and self._may_begin(others=len(self._workers)):
            # A context of its own: the flush belongs to no caller's trace.
            self._workers.add(loop.create_task(self._work(), name=f"batch-{self._name}", context=Context()))
        return futures

    def _may_begin(self, others: int) -> bool:
        """Whether a flush is worth beginning beside `others`: each of those looks again when it ends."""
        return not others or len(self._queue) >= self._enough

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        try:
            while self._may_begin(others=len(self._workers) - 1) and (batch := self._next_batch()):
                started = perf_counter()
                await self._run(batch)
                self._sizes.observe(len(batch))
                self._seconds.observe(perf_counter() - started)
        finally:
            self._workers.discard(worker)
            if self._queue and not self._workers:  # only if this task was cancelled: nobody may wait for ever
                _settle(self._queue, DependencyUnavailable("the service is shutting down"))
                self._queue.clear()

    def _next_batch(self) -> "list[_Entry[C, R]]":
        batch: list[_Entry[C, R]] = []
        now = asyncio.get_running_loop().time()
        while self._queue and len(batch) < self._max_batch:
            entry = self._queue.popleft()
            if entry.is_live(now):
                batch.append(entry)
        return batch

    async def _run(self, batch: "Sequence[_Entry[C, R]]") -> None:
        """Settle every entry of the batch, whatever happens."""
        try:
            error = await self._try(batch)
            if error is not None and len(batch) > 1:
                log.warning("batch_split", batcher=self._name, commands=len(batch), error=type(error).__name__)
                _retries.labels(self._name, "split").inc()
                loop = asyncio.get_running_loop()
                for entry in batch:
                    if entry.is_live(loop.time()) and (alone := await self._try([entry])) is not None:
                        _settle([entry], alone)
            elif error is not None:
                _settle(batch, error)
        finally:
            _settle(batch, DependencyUnavailable("the service is shutting down"))

    async def _try(self, batch: "Sequence[_Entry[C, R]]") -> Exception | None:
        """Flush, again and again while the plumbing is broken. The error that another try would not mend, or None."""
        loop = asyncio.get_running_loop()
        give_up, pause, cancelled = loop.time() + self._retry.within.total_seconds(), self._retry.first, 0
        while True:
            try:
                return self._answer(batch, await self._flush([entry.command for entry in batch]))
            except Exception as error:  # noqa: BLE001  (the callers get it)
                cancelled = cancelled + 1 if isinstance(error, asyncpg.QueryCanceledError) else 0
                if not is_broken_plumbing(error) or cancelled == _CANCELLED_IN_A_ROW:
                    return error
                log.warning("batch_retried", batcher=self._name, commands=len(batch), error=type(error).__name__)
                _retries.labels(self._name, "plumbing").inc()
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause.total_seconds())
            pause = min(2 * pause, self._retry.longest)
            now = loop.time()
            batch = [entry for entry in batch if entry.is_live(now)]
            if now >= give_up:
                _settle([entry for entry in batch if entry.deadline is None], DependencyUnavailable())
                batch = [entry for entry in batch if entry.deadline is not None]
            if not batch:
                return None

    def _answer(self, batch: "Sequence[_Entry[C, R]]", outcomes: Sequence[R | DomainError]) -> Exception | None:
        if len(outcomes) != len(batch):
            # The flush has committed: running the commands again would not mend a wrong count.
            _settle(batch, RuntimeError(f"{self._name}: {len(outcomes)} results for {len(batch)} commands"))
            return None
        for entry, outcome in zip(batch, outcomes, strict=True):
            if not entry.future.done():
                entry.future.set_result(outcome)
        return None


def batcher_for(
    settings: ServiceSettings,
    flush: Callable[[Sequence[C]], Awaitable[Sequence[R | DomainError]]],
    *,
    name: str,
    flushes: int = 1,
) -> Batcher[C, R]:
    """A Batcher with the sizes and the patience of the settings."""
    return Batcher(
        flush,
        name=name,
        max_batch=settings.batch_max,
        max_queue=settings.queue_max,
        flushes=flushes,
        retry=Retry(within=timedelta(milliseconds=settings.plumbing_retry_ms)),
    )


class _Entry(Generic[C, R]):
    __slots__ = ("command", "deadline", "future")

    def __init__(self, command: C, future: "asyncio.Future[R | DomainError]", deadline: float | None) -> None:
        self.command = command
        self.future = future
        self.deadline = deadline

    def is_live(self, now: float) -> bool:
        """Whether somebody still waits for it; one whose deadline passed is told so."""
        if self.deadline is not None and self.deadline <= now and not self.future.done():
            self.future.set_result(DeadlineExpired())
        return not self.future.done()


def _settle(entries: "Iterable[_Entry[C, R]]", error: Exception) -> None:
    """Give the error to every entry that has no answer yet."""
    for entry in entries:
        if entry.future.done():
            continue
        if isinstance(error, DomainError):
            entry.future.set_result(error)
        else:
            entry.future.set_exception(error)
