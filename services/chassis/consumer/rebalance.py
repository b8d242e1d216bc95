"""What a consumer does when partitions are taken away.

Why: the batch under way is finished and its offsets are committed first, so that a rebalance repeats little; that
nothing counts twice does not depend on it, for a revoked worker may keep running (F-37).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import ConsumerRebalanceListener


class FinishFirst(ConsumerRebalanceListener):  # type: ignore[misc]
    """Waits for the batch under way, then for `settle`, before partitions are given up."""

    def __init__(self, in_flight: asyncio.Lock, settle: Callable[[], Awaitable[None]]) -> None:
        self._in_flight = in_flight
        self._settle = settle

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Called before the group is joined anew."""
        async with self._in_flight:
            await self._settle()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Nothing to do: positions come from the committed offsets."""
