"""Computing while the database works.

Why: whoever holds a lock that many wait for should not let the processor rest while a statement runs.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Begin `work`, run the body, then wait for the work; it has ended when the block has, whatever happened.

    The body must not await what `work` uses: a connection does one thing at a time.
    """
    task = asyncio.create_task(work)
    try:
        try:
            await asyncio.sleep(0)  # it runs until it first waits
        except asyncio.CancelledError:
            task.cancel()
            raise
        yield
    finally:
        await task
