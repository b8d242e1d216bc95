import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
import pytest

from services.chassis.batch import Batcher, Retry
from services.chassis.errors import (
    DeadlineExpired,
    DependencyUnavailable,
    DomainError,
    Overloaded,
    Refused,
)
from services.chassis.telemetry import current_traceparent, traced

AT_ONCE = Retry(first=timedelta(), longest=timedelta(milliseconds=1), within=timedelta(seconds=5))


class Desk:
    """A flush that doubles numbers, keeps what it was given, and can be held up or be made to fail."""

    def __init__(self) -> None:
        self.flushes: list[list[int]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.fail: Callable[[Sequence[int]], None] = lambda numbers: None

    async def flush(self, numbers: Sequence[int]) -> list[int | DomainError]:
        self.flushes.append(list(numbers))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.begun.set()
        try:
            await self.open.wait()
            self.fail(numbers)
        finally:
            self.under_way -= 1
        return [Refused("odd") if number % 2 else 2 * number for number in numbers]

    async def hold(self, batcher: Batcher[int, int], number: int = 0) -> "asyncio.Task[int]":
        """Submit a number whose flush stays under way until `open` is set."""
        self.open.clear()
        self.begun.clear()
        first = asyncio.create_task(batcher.submit(number))
        await self.begun.wait()
        return first


def batcher_of(desk: Desk, **options: int) -> Batcher[int, int]:
    return Batcher(desk.flush, name="desk", retry=AT_ONCE, **options)


async def submitted(batcher: Batcher[int, int], *numbers: int) -> "list[asyncio.Task[int]]":
    tasks = [asyncio.create_task(batcher.submit(number)) for number in numbers]
    await asyncio.sleep(0)  # each has taken its place in the queue
    return tasks


async def test_a_lone_command_waits_for_no_timer() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    task = asyncio.create_task(batcher.submit(4))
    for _ in range(5):  # turns of the loop, no time
        await asyncio.sleep(0)
    assert task.done()
    assert await task == 8


async def test_who_arrives_during_a_flush_forms_the_next_one() -> None:
    desk = Desk()
    batcher = batcher_of(desk, max_batch=3)
    first = await desk.hold(batcher)
    others = await submitted(batcher, 2, 4, 6, 8)
    desk.open.set()
    assert await asyncio.gather(first, *others) == [0, 4, 8, 12, 16]
    assert desk.flushes == [[0], [2, 4, 6], [8]]
    assert desk.most_under_way == 1


async def test_a_second_flush_begins_beside_the_first_only_for_many() -> None:
    desk = Desk()
    batcher = batcher_of(desk, max_batch=8, flushes=2)
    first = await desk.hold(batcher)
    (alone,) = await submitted(batcher, 2)
    assert desk.flushes == [[0]]  # one that waits is no reason
    (beside,) = await submitted(batcher, 4)
    await asyncio.sleep(0)
    assert desk.flushes == [[0], [2, 4]]
    later = await submitted(batcher, 6, 8, 10)
    await asyncio.sleep(0)
    assert desk.most_under_way == 2
    desk.open.set()
    assert await asyncio.gather(first, alone, beside, *later) == [0, 4, 8, 12, 16, 20]
    assert desk.flushes == [[0], [2, 4], [6, 8, 10]]
    assert desk.most_under_way == 2


async def test_closing_waits_for_all_flushes_and_forgets_none_that_waits() -> None:
    desk = Desk()
    batcher = batcher_of(desk, max_batch=4, flushes=2)
    tasks = [await desk.hold(batcher), *await submitted(batcher, 2, 4, 6, 8, 10, 12)]
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    desk.open.set()
    await closing
    assert await asyncio.gather(*tasks) == [0, 4, 8, 12, 16, 20, 24]
    assert sum(map(len, desk.flushes)) == 7


async def test_a_refusal_is_the_result_of_its_command_only() -> None:
    batcher = batcher_of(Desk())
    right, wrong = await asyncio.gather(*await submitted(batcher, 2, 3), return_exceptions=True)
    assert right == 4
    assert isinstance(wrong, Refused)
    outcomes = await batcher.submit_all([2, 3])
    assert outcomes[0] == 4
    assert isinstance(outcomes[1], Refused)


async def test_a_full_queue_is_overload() -> None:
    desk = Desk()
    batcher = batcher_of(desk, max_queue=2)
    first = await desk.hold(batcher)
    waiting = await submitted(batcher, 2, 4)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(1):
            await batcher.submit(6)
    desk.open.set()
    assert await asyncio.gather(first, *waiting) == [0, 4, 8]
    with pytest.raises(Overloaded):
        await batcher.submit_all([2, 4, 6])
    assert desk.flushes == [[0], [2, 4]]


async def test_a_command_whose_deadline_passed_is_not_begun() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    first = await desk.hold(batcher)
    now = asyncio.get_running_loop().time()
    late = asyncio.create_task(batcher.submit(2, deadline=now))
    in_time = asyncio.create_task(batcher.submit(4, deadline=now + 60))
    await asyncio.sleep(0)
    desk.open.set()
    with pytest.raises(DeadlineExpired):
        await late
    assert [await first, await in_time] == [0, 8]
    assert desk.flushes == [[0], [4]]


async def test_a_caller_cancelled_before_the_flush_is_dropped() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    first = await desk.hold(batcher)
    gone, stays = await submitted(batcher, 2, 4)
    gone.cancel()
    await asyncio.wait([gone])
    desk.open.set()
    assert [await first, await stays] == [0, 8]
    assert desk.flushes == [[0], [4]]


async def test_a_caller_cancelled_during_the_flush_takes_nobody_along() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    desk.open.clear()
    gone, stays = await submitted(batcher, 2, 4)
    await desk.begun.wait()
    gone.cancel()
    await asyncio.wait([gone])
    desk.open.set()
    assert await stays == 8
    assert gone.cancelled()
    assert desk.flushes == [[2, 4]]


async def test_the_first_caller_s_cancellation_does_not_stop_its_flush() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    first = await desk.hold(batcher)
    (second,) = await submitted(batcher, 2)
    first.cancel()
    await asyncio.wait([first])
    desk.open.set()
    assert await second == 4
    assert desk.flushes == [[0], [2]]


async def test_after_an_exception_only_the_bad_command_fails() -> None:
    desk = Desk()
    batcher = batcher_of(desk)

    def fail(numbers: Sequence[int]) -> None:
        if 6 in numbers:
            raise ValueError("six")

    desk.fail = fail
    good, bad, also_good = await asyncio.gather(*await submitted(batcher, 2, 6, 8), return_exceptions=True)
    assert (good, also_good) == (4, 16)
    assert isinstance(bad, ValueError)
    assert desk.flushes == [[2, 6, 8], [2], [6], [8]]


@pytest.mark.requirement("S-26")
async def test_broken_plumbing_repeats_the_whole_batch() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    breaks: list[Exception] = [ConnectionResetError(), asyncpg.TooManyConnectionsError(), DependencyUnavailable()]

    def fail(numbers: Sequence[int]) -> None:
        if breaks:
            raise breaks.pop()

    desk.fail = fail
    assert await asyncio.gather(*await submitted(batcher, 2, 4)) == [4, 8]
    assert desk.flushes == [[2, 4]] * 4


@pytest.mark.requirement("S-26")
async def test_plumbing_is_repeated_until_the_deadlines_have_passed() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    restored_at = asyncio.get_running_loop().time() + 0.2

    def fail(numbers: Sequence[int]) -> None:
        if asyncio.get_running_loop().time() < restored_at:
            raise ConnectionResetError

    desk.fail = fail
    short = asyncio.create_task(batcher.submit(2, deadline=restored_at - 0.15))
    long = asyncio.create_task(batcher.submit(4, deadline=restored_at + 60))
    with pytest.raises(DeadlineExpired):
        await short
    assert await long == 8
    assert desk.flushes[0] == [2, 4]
    assert desk.flushes[-1] == [4]


@pytest.mark.requirement("S-26")
async def test_plumbing_that_stays_broken_ends_callers_without_a_deadline() -> None:
    desk = Desk()
    given_up = Retry(first=timedelta(milliseconds=1), within=timedelta(milliseconds=20))
    batcher: Batcher[int, int] = Batcher(desk.flush, name="desk", retry=given_up)

    def fail(numbers: Sequence[int]) -> None:
        raise ConnectionResetError

    desk.fail = fail
    with pytest.raises(DependencyUnavailable):
        await batcher.submit(2)


@pytest.mark.requirement("S-26")
async def test_three_statement_time_outs_in_a_row_split_the_batch() -> None:
    desk = Desk()
    batcher = batcher_of(desk)

    def fail(numbers: Sequence[int]) -> None:
        if 4 in numbers:
            raise asyncpg.QueryCanceledError

    desk.fail = fail
    good, slow = await asyncio.gather(*await submitted(batcher, 2, 4), return_exceptions=True)
    assert good == 4
    assert isinstance(slow, asyncpg.QueryCanceledError)
    assert desk.flushes == [[2, 4]] * 3 + [[2]] + [[4]] * 3


async def test_a_flush_with_a_wrong_count_of_results_fails_its_commands_once() -> None:
    calls = []

    async def flush(numbers: Sequence[int]) -> list[int | DomainError]:
        calls.append(numbers)
        return [1]

    batcher = Batcher(flush, name="miscounting")
    results = await asyncio.gather(*await submitted(batcher, 2, 4), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    assert len(calls) == 1


async def test_closing_finishes_what_waits_and_takes_nothing_more() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    first = await desk.hold(batcher)
    (second,) = await submitted(batcher, 2)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(DependencyUnavailable):
        await batcher.submit(4)
    desk.open.set()
    await closing
    assert [first.result(), second.result()] == [0, 4]


async def test_a_flush_belongs_to_no_caller_s_trace() -> None:
    traces = []

    async def flush(numbers: Sequence[int]) -> list[int | DomainError]:
        traces.append(current_traceparent())
        return list(numbers)

    batcher = Batcher(flush, name="traced")
    with traced("00-" + "1" * 32 + "-" + "2" * 16 + "-01"):
        await batcher.submit(2)
    assert traces == [""]
