"""Work that waits goes on while the body of a block computes, and never outlives the block."""

import asyncio

import pytest

from services.chassis.meanwhile import meanwhile


class Broken(Exception):
    """A defect."""


class Statement:
    """Waits for an answer, as a statement does, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent = self.ended = False
        self.answer = asyncio.Event()
        self._error = error

    async def run(self) -> None:
        """Until there is an answer."""
        self.sent = True
        try:
            await self.answer.wait()
        finally:
            self.ended = True
        if self._error:
            raise self._error


async def test_the_body_computes_while_the_work_waits() -> None:
    statement = Statement()
    async with meanwhile(statement.run()):
        assert (statement.sent, statement.ended) == (True, False)
        statement.answer.set()
    assert statement.ended


async def test_an_error_of_the_work_is_raised() -> None:
    statement = Statement(Broken())
    with pytest.raises(Broken):
        async with meanwhile(statement.run()):
            statement.answer.set()


async def test_a_body_that_fails_waits_for_the_work_first() -> None:
    statement = Statement()
    with pytest.raises(Broken):
        async with meanwhile(statement.run()):
            asyncio.get_running_loop().call_soon(statement.answer.set)
            raise Broken
    assert statement.ended


@pytest.mark.parametrize("moments", [0, 1, 5])  # when nothing has begun, while the work begins, while it waits
async def test_whoever_cancels_the_block_cancels_the_work(moments: int) -> None:
    statement = Statement()

    async def block() -> None:
        async with meanwhile(statement.run()):
            pass

    task = asyncio.create_task(block())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert statement.ended == statement.sent
