"""Watching orders: who waits for a newer version is woken when there is one (R-2.15).

Why: one query for all watched orders of the process costs the same for a thousand result pages as for one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from services.chassis.db import Database, is_broken_plumbing
from services.chassis.telemetry import gauge, get_logger
from services.orders.store import reading
from services.orders.usecases.errors import TooManyWatchers

log = get_logger(__name__)
CHANNEL: Final = "outbox"
_SHORTEST_PAUSE_S: Final = 0.02
_watchers = gauge("watchers", "Streams of WatchOrder")


class Watching:
    """A component that looks at the versions of watched orders: when something was said, and now and then."""

    name = "watching"

    def __init__(self, database: Database, *, poll_s: float, most: int) -> None:
        self._database = database
        self._poll_s = poll_s
        self._most = most
        self._waiting: dict[str, set[_Watcher]] = {}
        self._count = 0
        self._wake = asyncio.Event()  # by what the outbox tells its relay; what is not told there is found by the poll
        self._somebody = asyncio.Event()
        _watchers.set_function(lambda: self._count)

    @contextlib.asynccontextmanager
    async def watch(self, order_id: str) -> AsyncIterator["_Watcher"]:
        """A watcher whose `newer_than` waits for changes. Raises TooManyWatchers."""
        if self._count >= self._most:
            raise TooManyWatchers
        watcher = _Watcher()
        self._waiting.setdefault(order_id, set()).add(watcher)
        self._count += 1
        self._somebody.set()
        try:
            yield watcher
        finally:
            self._count -= 1
            self._waiting[order_id].discard(watcher)
            if not self._waiting[order_id]:
                del self._waiting[order_id]
            if not self._waiting:
                self._somebody.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`; a lost database only makes watchers wait."""
        stopping = asyncio.create_task(stop.wait())
        looking = asyncio.create_task(self._look_for_ever())
        await asyncio.wait({stopping, looking}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, looking):
            task.cancel()
        results = await asyncio.gather(stopping, looking, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def ready(self) -> bool:
        """Always: watchers who are not woken find the order by their own next call."""
        return True

    async def run_once(self) -> int:
        """Tell watchers the versions of their orders; how many orders are watched."""
        watched = list(self._waiting)
        if watched:
            for order_id, version in (await reading.versions(self._database, watched)).items():
                for watcher in self._waiting.get(order_id, ()):
                    watcher.tell(version)
        return len(watched)

    async def _look_for_ever(self) -> None:
        while True:
            await self._somebody.wait()
            try:
                async with self._database.listening(CHANNEL, lambda _: self._wake.set()) as lost:
                    while self._waiting and not lost.is_set():
                        self._wake.clear()
                        await self.run_once()
                        await asyncio.sleep(_SHORTEST_PAUSE_S)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._wake.wait(), self._poll_s)
            except Exception as error:
                if not is_broken_plumbing(error):
                    raise
                log.warning("watching_interrupted", error=type(error).__name__)
                await asyncio.sleep(self._poll_s)


class _Watcher:
    """The newest version that was seen of one order."""

    def __init__(self) -> None:
        self._newest = 0
        self._told = asyncio.Event()

    def tell(self, version: int) -> None:
        """There is this version."""
        if version > self._newest:
            self._newest = version
            self._told.set()

    async def newer_than(self, version: int) -> None:
        """Wait until there is a newer one."""
        while self._newest <= version:
            self._told.clear()
            await self._told.wait()
