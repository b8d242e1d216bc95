import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from services.chassis import jobs as jobs_module
from services.chassis.db import Database
from services.chassis.jobs import CHANNEL, Job, JobRunner, wake
from services.chassis.telemetry import current_traceparent
from services.chassis.testing import running, wait_until

pytestmark = pytest.mark.requirement("S-16")

SHORT = timedelta(milliseconds=300)


def job(run_once: Callable[[], Awaitable[int]], interval: timedelta = timedelta(hours=1)) -> Job:
    return Job("expiry", run_once, interval)


async def nothing() -> int:
    return 0


async def test_a_job_runs_at_once_again_while_there_is_work_and_then_after_its_interval(db: Database) -> None:
    left = [3, 2, 1, 0, 0]

    async def work() -> int:
        assert current_traceparent()
        return left.pop(0)

    runner = JobRunner(db, [job(work)])
    assert not runner.ready()
    async with running(runner, within=5):
        await wait_until(lambda: len(left) == 1)
        assert runner.ready()
    assert left == [0]


async def test_one_process_has_the_lease_and_gives_it_back_at_its_end(db: Database) -> None:
    one, two = JobRunner(db, []), JobRunner(db, [])
    assert await one.run_once(job(nothing)) == 0
    assert await two.run_once(job(nothing)) is None
    assert await one.run_once(job(nothing)) == 0
    assert await db.fetchval("SELECT fence FROM job_leases") == 1
    async with running(JobRunner(db, [job(nothing)]), within=5):
        assert await two.run_once(job(nothing)) is None
    await db.fetch("UPDATE job_leases SET lease_until = clock_timestamp() - interval '1 ms'")
    holder = JobRunner(db, [job(nothing)])
    async with running(holder, within=5):
        await wait_until(lambda: db.fetchval("SELECT fence = 2 AND lease_until > clock_timestamp() FROM job_leases"))
    assert await two.run_once(job(nothing)) == 0
    assert await db.fetchval("SELECT fence FROM job_leases") == 3


async def test_the_lease_is_renewed_while_the_job_runs(db: Database) -> None:
    done = asyncio.Event()

    async def long() -> int:
        await done.wait()
        return 1

    runner = JobRunner(db, [], lease=SHORT)
    work = asyncio.create_task(runner.run_once(job(long)))
    await wait_until(lambda: db.fetchval("SELECT count(*) FROM job_leases"))
    first = await db.fetchval("SELECT lease_until FROM job_leases")
    await wait_until(lambda: db.fetchval("SELECT clock_timestamp() > $1::timestamptz + interval '100 ms'", first))
    assert await JobRunner(db, []).run_once(job(nothing)) is None
    done.set()
    assert await work == 1


async def test_a_job_whose_lease_was_taken_over_is_stopped(db: Database) -> None:
    stopped = asyncio.Event()

    async def endless() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return 0

    runner = JobRunner(db, [], lease=SHORT)
    work = asyncio.create_task(runner.run_once(job(endless)))
    await wait_until(lambda: db.fetchval("SELECT count(*) FROM job_leases"))
    await db.fetch("UPDATE job_leases SET holder = 'another', lease_until = clock_timestamp() + interval '1 h'")
    assert await asyncio.wait_for(work, 5) is None
    assert stopped.is_set()


async def test_a_job_that_has_ended_is_free_while_another_one_still_works(db: Database) -> None:
    begun, ran, goes_on, stop = (asyncio.Event() for _ in range(4))

    async def slow() -> int:
        begun.set()
        await goes_on.wait()
        return 0

    async def quick() -> int:
        ran.set()
        return 0

    second = timedelta(seconds=1)
    stopping = JobRunner(db, [Job("slow", slow, second), Job("quick", quick, second)], lease=SHORT * 100)
    task = asyncio.create_task(stopping.run(stop))
    await asyncio.wait_for(asyncio.gather(begun.wait(), ran.wait()), 5)
    stop.set()
    await wait_until(
        lambda: db.fetchval("SELECT lease_until <= clock_timestamp() FROM job_leases WHERE name = 'quick'")
    )
    assert await stopping._take("slow")  # what its renewal does, which takes others along
    assert await JobRunner(db, []).run_once(Job("quick", quick, second)) == 0
    goes_on.set()
    await task


async def test_a_job_that_fails_is_tried_again_and_shows(db: Database) -> None:
    tries = 0

    async def broken() -> int:
        nonlocal tries
        tries += 1
        if tries <= 5:
            raise ValueError("a bug")
        await go_on.wait()
        return 0

    go_on = asyncio.Event()
    runner = JobRunner(db, [job(broken, timedelta(milliseconds=1)), Job("other", nothing, timedelta(milliseconds=1))])
    async with running(runner, within=5):
        await wait_until(lambda: tries == 6)
        assert not runner.ready()
        go_on.set()
        await wait_until(runner.ready)


async def test_a_job_that_is_cancelled_from_inside_is_run_again(db: Database) -> None:
    runs: list[int] = []

    async def work() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise asyncio.CancelledError
        return 0

    async with running(JobRunner(db, [job(work, timedelta(milliseconds=10))]), within=5):
        await wait_until(lambda: len(runs) > 1)


async def test_a_job_is_woken_when_what_it_waits_for_has_committed(db: Database) -> None:
    runs: list[str] = []

    def counted(name: str) -> Callable[[], Awaitable[int]]:
        async def run_once() -> int:
            runs.append(name)
            return 0

        return run_once

    hour = timedelta(hours=1)
    jobs = [Job("send", counted("send"), hour, woken_by="mails"), Job("purge", counted("purge"), hour)]
    async with running(JobRunner(db, jobs), within=5):
        # at the start, and once more when it can hear: what was said between the two would be lost
        await wait_until(lambda: runs.count("send") == 2)
        async with db.transaction() as tx:
            await wake(tx, "mails")
            await wake(tx, "something else")
        await wait_until(lambda: runs.count("send") == 3)
        assert runs.count("purge") == 1


async def test_a_listener_that_lost_its_session_listens_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_LISTEN_AGAIN_S", 0.01)
    runs: list[int] = []

    async def work() -> int:
        runs.append(1)
        return 0

    listener = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1 AND datname = current_database()"
    async with running(JobRunner(db, [Job("send", work, timedelta(hours=1), woken_by="mails")]), within=5):
        await wait_until(lambda: len(runs) == 2)
        lost = await db.fetchval(listener, f"%-{CHANNEL}")
        assert await db.fetchval("SELECT pg_terminate_backend($1)", lost)
        await wait_until(lambda: len(runs) == 3)  # what was said meanwhile is looked for
        assert await db.fetchval(listener, f"%-{CHANNEL}") != lost
