"""Load: many callers, each of whom waits for its answer before it asks again; or one call at a fixed pace.

Why: all sides of a benchmark get exactly the same load, from the same code.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import psutil

from bench.harness import Sample

Work = Callable[[], Awaitable[None]]


class Stopwatch:
    """Time, and the CPU of this process and of all that it started, servers included."""

    def __init__(self) -> None:
        self._cpu_s = cpu_s(psutil.Process())
        self.started = time.perf_counter()

    def sample(self, done: float, latencies_s: Sequence[float] = ()) -> Sample:
        """What was done since."""
        took = time.perf_counter() - self.started
        return Sample(done, took, latencies_s, cpu_s(psutil.Process()) - self._cpu_s)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its living children so far."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a worker of PostgreSQL that has just ended
            times = each.cpu_times()
            total += times.user + times.system
    return total


async def closed_loop(work: Work, *, in_flight: int, seconds: float, units: int = 1) -> Sample:
    """`in_flight` callers for `seconds`, each beginning anew when answered; what is under way at the end is finished.

    `units`: how much one call of `work` does.
    """
    latencies: list[float] = []
    watch = Stopwatch()
    end = watch.started + seconds

    async def caller() -> None:
        while (begun := time.perf_counter()) < end:
            await work()
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return watch.sample(len(latencies) * units, latencies)


async def at_pace(work: Work, *, per_second: float, seconds: float) -> Sample:
    """Begin `work` at a fixed pace whether or not the last is done; latencies count from when each was due."""
    latencies: list[float] = []
    started = time.perf_counter()

    async def one(due: float) -> None:
        await work()
        latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            due = started + number / per_second
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            group.create_task(one(due))
    return Sample(len(latencies), time.perf_counter() - started, latencies)
