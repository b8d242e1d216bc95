"""A flush that the tests of the Batcher hold up, break and look into."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from services.chassis.batch import Batcher, Retry
from services.chassis.errors import DomainError, Refused

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
