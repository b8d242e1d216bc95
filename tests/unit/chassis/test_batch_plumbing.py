import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from services.chassis.batch import Batcher, Retry
from services.chassis.errors import (
    DeadlineExpired,
    DependencyUnavailable,
)
from tests.unit.chassis.desk import Desk, batcher_of, submitted


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
