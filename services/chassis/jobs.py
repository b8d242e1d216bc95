"""Background work on a schedule, done by one process at a time.

Why: what a crash left unfinished is finished by somebody, and two of them do not get in each other's way.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.ids import new_id
from services.chassis.telemetry import counter, get_logger, new_traceparent, traced

log = get_logger(__name__)

CHANNEL: Final = "jobs"
LEASE: Final = timedelta(seconds=10)
_FAILURES_IN_A_ROW: Final = 5  # of one job, then the component is not ready

_LISTEN_AGAIN_S: Final = 1.0

_runs = counter("job_runs_total", "Runs of background jobs", ["job", "outcome"])

# A lease is taken when it has run out, or renewed by its holder; the fence grows with every new holder.
_TAKE: Final = """
INSERT INTO job_leases AS held (name, holder, lease_until)
SELECT name, $2, clock_timestamp() + $3 FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT (name) DO UPDATE
   SET holder = $2, lease_until = clock_timestamp() + $3,
       fence = held.fence + CASE WHEN held.holder = $2 THEN 0 ELSE 1 END
 WHERE held.holder = $2 OR held.lease_until <= clock_timestamp()
RETURNING name
"""

_RELEASE: Final = """
UPDATE job_leases SET lease_until = clock_timestamp() WHERE name = ANY($1::text[]) AND holder = $2
"""


@dataclass(frozen=True, slots=True)
class Job:
    """`run_once` does a bounded piece of work and returns how much it was; 0 means nothing is left for now.

    It must bear being run by two processes at once: a lease cannot stop a paused one (S-16). `woken_by` is the topic
    of `wake` that makes it run before its interval is over.
    """

    name: str
    run_once: Callable[[], Awaitable[int]]
    interval: timedelta
    woken_by: str = ""


async def wake(tx: Transaction, topic: str) -> None:
    """Tell the jobs of this database, in whatever process, that there is work once this transaction has committed.

    It may get lost; a job that is not woken looks after its interval.
    """
    await tx.execute("SELECT pg_notify($1, $2)", CHANNEL, topic)


class Interrupted(Exception):
    """Something that the job called was cancelled, and the job with it."""


class JobRunner:
    """A component that runs jobs: each by one process at a time, at once again while there is work."""

    name = "jobs"

    def __init__(self, database: Database, jobs: Sequence[Job], *, lease: timedelta = LEASE) -> None:
        self._database = database
        self._jobs = list(jobs)
        self._lease = lease
        self._often = {job.name for job in self._jobs if job.interval <= lease}
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{new_id()}"
        self._failures: dict[str, int] = {}
        self._started = False
        self._sure_until: dict[str, float] = {}  # by the loop's time; until then no rival can have the lease
        self._woken = {job.name: asyncio.Event() for job in self._jobs}

    async def run(self, stop: asyncio.Event) -> None:
        """Run all jobs until `stop`; a job that fails is logged and tried again after its interval."""
        self._started = True
        listening = asyncio.create_task(self._listen()) if any(job.woken_by for job in self._jobs) else None
        stopping = asyncio.create_task(self._wake_at(stop))
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs:
                    group.create_task(self._repeat(job, stop), name=f"job {job.name}")
        finally:
            ends = [task for task in (listening, stopping) if task is not None]
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await self._release([job.name for job in self._jobs])  # what a renewal took meanwhile

    def ready(self) -> bool:
        """Whether it runs and no job has failed several times in a row."""
        return self._started and all(failures < _FAILURES_IN_A_ROW for failures in self._failures.values())

    async def run_once(self, job: Job) -> int | None:
        """One leased run; None if another process has the lease, or took it over meanwhile."""
        now = asyncio.get_running_loop().time()
        if now >= self._sure_until.get(job.name, now) and not await self._take(job.name):
            return None
        work = asyncio.ensure_future(self._work(job))
        renewal = asyncio.create_task(self._renew(job.name))
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                if work.cancelled():  # from inside: as a cancellation it would end the job's loop without a word
                    raise Interrupted(job.name)
                return work.result()
            self._sure_until.pop(job.name, None)
            log.warning("job_lease_lost", job=job.name)
            return None
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    async def _work(self, job: Job) -> int:
        with traced(new_traceparent()):
            return await job.run_once()

    async def _repeat(self, job: Job, stop: asyncio.Event) -> None:
        woken = self._woken[job.name]
        while not stop.is_set():
            woken.clear()
            if not await self._attempt(job) and not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), job.interval.total_seconds())
        self._often.discard(job.name)  # nobody else's renewal takes it along any more
        await self._release([job.name])

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake(lambda _: True)

    def _wake(self, concerned: Callable[[Job], bool]) -> None:
        for job in self._jobs:
            if concerned(job):
                self._woken[job.name].set()

    async def _listen(self) -> None:
        """Be told of work for ever; while nothing can be heard, the intervals remain."""
        while True:
            try:
                async with self._database.listening(CHANNEL, self._heard) as lost:
                    self._wake(lambda job: bool(job.woken_by))  # for what was said before
                    await lost.wait()
            except Exception as error:  # noqa: BLE001 - whatever it is, the jobs themselves show that it matters
                log.warning("jobs_not_listening", error=repr(error))
            await asyncio.sleep(_LISTEN_AGAIN_S)

    def _heard(self, topic: str) -> None:
        self._wake(lambda job: job.woken_by == topic)

    async def _attempt(self, job: Job) -> int:
        try:
            done = await self.run_once(job)
        except Exception as error:
            self._failures[job.name] = self._failures.get(job.name, 0) + 1
            _runs.labels(job.name, "failed").inc()
            if is_broken_plumbing(error):
                log.warning("job_failed", job=job.name, error=repr(error))
            else:
                log.exception("job_failed", job=job.name)
            return 0
        self._failures[job.name] = 0
        if done is not None:
            _runs.labels(job.name, "done" if done else "idle").inc()
        return done or 0

    async def _take(self, name: str) -> bool:
        """Whether the lease is ours now; with it go those that we have already and will want again soon."""
        asked_at = asyncio.get_running_loop().time()
        names = {name} | self._often & self._sure_until.keys()
        taken = {row["name"] for row in await self._database.fetch(_TAKE, list(names), self._holder, self._lease)}
        for each in names:
            self._sure_until.pop(each, None)
        self._sure_until |= dict.fromkeys(taken, asked_at + self._lease.total_seconds() / 3)
        return name in taken

    async def _renew(self, name: str) -> None:
        """Returns when the lease is lost, or might be."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with asyncio.timeout(self._lease.total_seconds() / 3):
                    if not await self._take(name):
                        return
            except Exception as error:  # noqa: BLE001 - the job is stopped either way
                log.warning("job_lease_not_renewed", job=name, error=repr(error))
                return

    async def _release(self, names: Sequence[str]) -> None:
        for name in names:
            self._sure_until.pop(name, None)
        with contextlib.suppress(Exception):
            await self._database.fetch(_RELEASE, names, self._holder)
