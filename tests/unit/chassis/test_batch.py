import asyncio
from collections.abc import Sequence

import pytest

from services.chassis.batch import Batcher
from services.chassis.errors import (
    DeadlineExpired,
    DependencyUnavailable,
    DomainError,
    Overloaded,
    Refused,
)
from services.chassis.telemetry import current_traceparent, traced
from tests.unit.chassis.desk import Desk, batcher_of, submitted


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


async def test_all_commands_of_a_cancelled_caller_are_dropped_before_the_flush() -> None:
    desk = Desk()
    batcher = batcher_of(desk)
    first = await desk.hold(batcher)
    gone = asyncio.create_task(batcher.submit_all([2, 4, 6]))
    await asyncio.sleep(0)  # they have taken their places in the queue
    (stays,) = await submitted(batcher, 8)
    gone.cancel()
    await asyncio.wait([gone])
    desk.open.set()
    assert [await first, await stays] == [0, 16]
    assert gone.cancelled()
    assert desk.flushes == [[0], [8]]


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
