"""The desk that sends webhooks, with retries and faults; in the background, or when told for exact tests."""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .clock import Agenda, SimulatorClock
from .faults import FaultBook
from .http import FAILURES, Client

NO_ANSWER = -1
_HOLD_SECONDS = 2.0
_LOG_SIZE = 20_000


@dataclass(frozen=True)
class Post:
    """One HTTP request ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes


class Letter(Protocol):
    """One event on its way; a vendor knows how to write and sign it."""

    @property
    def vendor(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def order_id(self) -> str | None: ...

    def write(self, attempt: int, forgery: str | None) -> Post | None:
        """The request of this attempt (0 is the first); None when no endpoint wants it any more."""

    def retry_seconds(self) -> Sequence[float]:
        """The vendor's intervals between attempts; after the last one it gives up."""


@dataclass(frozen=True)
class Attempt:
    """One line of the log; `status_code` -1 means that no answer came."""

    vendor: str
    type: str
    event_id: str
    order_id: str | None
    attempt: int
    status_code: int
    fault: str | None
    at: float


@dataclass(frozen=True)
class Report:
    """What one round of deliveries did."""

    sent: int
    failed: int
    waiting: int


@dataclass
class _Job:
    letter: Letter
    attempt: int = 0
    fault: str | None = None
    round: int = 0


@dataclass
class WebhookDesk:
    """A queue by due time; one round by `deliver`, or for ever by `run`."""

    clock: SimulatorClock
    agenda: Agenda
    faults: FaultBook
    workers: int
    timeout_seconds: float
    retry_scale: float
    log: deque[Attempt] = field(default_factory=lambda: deque(maxlen=_LOG_SIZE))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _queue: list[tuple[float, int, _Job]] = field(default_factory=list)
    _held: dict[tuple[str, str | None], list[_Job]] = field(default_factory=dict)
    _sequence: int = 0
    _rounds: int = 0
    _http: Client | None = None

    def submit(self, letter: Letter) -> None:
        """Queue a new event; a scripted fault of its kind is met here."""
        fault = self.faults.take_webhook(letter.vendor, letter.type, letter.order_id) if self.faults.webhook else None
        now = self.clock.now()
        key = (letter.vendor, letter.order_id)
        if fault is None:
            self._push(now, _Job(letter))
        elif fault.kind == "lost":
            self._note(_Job(letter, fault="lost"), NO_ANSWER)
        elif fault.kind == "late":
            self._push(now + fault.delay_seconds, _Job(letter, fault="late"))
        elif fault.kind == "duplicate":
            for _ in range(1 + fault.copies):
                self._push(now, _Job(letter, fault="duplicate"))
        elif fault.kind == "reorder":
            self._held.setdefault(key, []).append(_Job(letter, fault="reorder"))
            self.agenda.after(fault.delay_seconds or _HOLD_SECONDS, lambda: self._release(key))
            return
        else:
            self._push(now, _Job(letter, fault=fault.kind))
        self._release(key)

    def resend(self, letter: Letter) -> None:
        """Queue an event once more, past all faults."""
        self._push(self.clock.now(), _Job(letter))

    def discard(self) -> int:
        """Throw away what waits; returns how many."""
        waiting = self.waiting()
        self._queue.clear()
        self._held.clear()
        return waiting

    def waiting(self) -> int:
        """How many deliveries are queued, retries and held ones included."""
        return len(self._queue) + sum(len(held) for held in self._held.values())

    async def deliver(self, late: bool = False) -> Report:
        """Send all that is due (with `late`: all there is), each once, in order, one at a time."""
        sent = failed = 0
        self._rounds += 1
        this_round = self._rounds
        while True:
            job = self._pop(this_round, late)
            if job is None:
                if not self._held:
                    return Report(sent, failed, self.waiting())
                for key in list(self._held):
                    self._release(key)
                continue
            job.round = this_round
            if await self._send(job):
                sent += 1
            else:
                failed += 1

    async def run(self) -> None:
        """Send for ever, in order of due time, at most `workers` at once."""
        limit = asyncio.Semaphore(self.workers)
        tasks: set[asyncio.Task[None]] = set()

        async def send(job: _Job) -> None:
            try:
                await self._send(job)
            finally:
                limit.release()

        try:
            while True:
                await limit.acquire()
                task = asyncio.create_task(send(await self._next()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()

    async def _next(self) -> _Job:
        while True:
            job = self._pop(None, late=False)
            if job is not None:
                return job
            self.changed.clear()
            pause = max(0.0, self._queue[0][0] - self.clock.now()) if self._queue else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), pause)

    def _push(self, due: float, job: _Job) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (due, self._sequence, job))
        self.changed.set()

    def _pop(self, this_round: int | None, late: bool) -> _Job | None:
        """The next due job; those already tried in this round stay queued."""
        skipped: list[tuple[float, int, _Job]] = []
        found: _Job | None = None
        while self._queue and (late or self._queue[0][0] <= self.clock.now()):
            entry = heapq.heappop(self._queue)
            if entry[2].round == this_round:
                skipped.append(entry)
                continue
            found = entry[2]
            break
        for entry in skipped:
            heapq.heappush(self._queue, entry)
        return found

    def _release(self, key: tuple[str, str | None]) -> None:
        for job in self._held.pop(key, ()):
            self._push(self.clock.now(), job)

    async def _send(self, job: _Job) -> bool:
        post = job.letter.write(job.attempt, job.fault)
        if post is None:
            return True
        self._http = self._http or Client(self.timeout_seconds)
        try:
            answer = await self._http.request("POST", post.url, data=post.body, headers=post.headers)
            status = answer.status
        except FAILURES:
            status = NO_ANSWER
        self._note(job, status)
        if 200 <= status < 300:
            return True
        intervals = job.letter.retry_seconds()
        if job.attempt < len(intervals):
            due = self.clock.now() + intervals[job.attempt] * self.retry_scale
            job.attempt += 1
            job.fault = None
            self._push(due, job)
        return False

    def _note(self, job: _Job, status: int) -> None:
        letter = job.letter
        self.log.append(
            Attempt(
                letter.vendor,
                letter.type,
                letter.event_id,
                letter.order_id,
                job.attempt,
                status,
                job.fault,
                self.clock.now(),
            )
        )
