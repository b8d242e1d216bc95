"""A guard on what is written around calls to providers: statements for any number of calls, counted, never timed."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.counting import counted
from ops.local.databases import Access
from services.chassis.clock import SystemClock
from services.chassis.config import ServiceSettings
from services.chassis.db import Transaction
from services.chassis.ids import new_id
from services.chassis.operations import Operation, OperationRunner, PlannedOperation, plan
from services.chassis.testing import open_database, settings_for, wait_until


class Meeting:
    """A provider that answers nobody before all have asked."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers = asyncio.Event()

    async def send(self, operation: Operation) -> dict[str, Any]:
        """The answer, with all the others."""
        self.sent += 1
        await self.answers.wait()
        return {"id": operation.id}

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """Nothing is ever in doubt."""
        raise AssertionError(operation)

    async def settle(self, tx: Transaction, operations: Sequence[Operation]) -> None:
        """No effect."""


@pytest.mark.requirement("S-15")
@pytest.mark.parametrize("calls", [2, 40])
async def test_calls_cost_five_statements_around_them_for_any_number(
    database: Callable[[str], Access], calls: int
) -> None:
    settings = settings_for(ServiceSettings, database("fulfillment").serving, pool_size=1)
    provider, now = Meeting(), datetime.now(UTC)
    wanted = [PlannedOperation("create", new_id(), 1, "stripe", b"{}", now) for _ in range(calls)]
    with counted() as work:
        async with open_database(settings) as db:
            async with db.transaction() as tx:
                await plan(tx, wanted, wakes=True)
            minute = timedelta(minutes=1)
            runner = OperationRunner(db, http_timeout=minute, clock=SystemClock(), calls={"create": provider})
            work.clear()
            running = asyncio.create_task(runner.run_once())
            await wait_until(lambda: provider.sent == calls)
            provider.answers.set()
            assert await running == calls
            assert len(work.statements) == 5, work.statements  # due, claimed, and one transaction for the outcomes
