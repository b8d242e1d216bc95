"""A provider with a script and a ledger, for the tests of operations.

Why: what was executed is counted at the provider, whatever our journal says.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from services.chassis.clock import ManualClock
from services.chassis.db import Database, Transaction
from services.chassis.operations import (
    Operation,
    OperationRunner,
    PlannedOperation,
    Unknown,
    encode_parameters,
    get_operation,
    plan,
)
from tests.component.chassis.messaging import NOW

HTTP_TIMEOUT = timedelta(seconds=5)
ORDER = "0190aaaa-0000-7000-8000-000000000001"
PARAMETERS = {"amount": 1050, "currency": "gbp", "metadata": {"order_id": ORDER}}
CREATE = PlannedOperation("create", ORDER, 1, "stripe", encode_parameters(PARAMETERS), NOW)
LOCKED = "SELECT pg_advisory_xact_lock(1)"
Script = Callable[[Operation], Any]


class Provider:
    """A provider with a ledger of what it executed, by idempotency key, and a script of what it answers."""

    def __init__(self, *script: Exception | Script) -> None:
        self.script = list(script)
        self.sent: list[Operation] = []
        self.looked_up: list[Operation] = []
        self.executed: dict[str, dict[str, Any]] = {}
        self.settled: list[Operation] = []
        self.settle_errors: list[Exception] = []
        self.poisoned: set[str] = set()  # subjects whose effect always fails
        self.locked: set[str] = set()  # subjects whose effect waits for LOCKED
        self.groups: list[list[str]] = []  # ids that were settled together
        self.plans_next = False

    def answers_together(self, count: int) -> None:
        """The next `count` calls are answered at one moment."""
        meeting = asyncio.Barrier(count)

        async def meet(operation: Operation) -> dict[str, Any]:
            await meeting.wait()
            return self.execute(operation)

        self.script += [meet] * count

    async def send(self, operation: Operation) -> dict[str, Any]:
        self.sent.append(operation)
        step = self.script.pop(0) if self.script else self.execute
        if isinstance(step, Exception):
            raise step
        answer = step(operation)
        return dict(await answer if asyncio.iscoroutine(answer) else answer)

    def execute(self, operation: Operation) -> dict[str, Any]:
        """What a provider with idempotency keys does: the first call counts, a repeated one is replayed."""
        return self.executed.setdefault(operation.idempotency_key, {"id": f"pi_{len(self.executed) + 1}"})

    def execute_and_lose_the_answer(self, operation: Operation) -> dict[str, Any]:
        self.execute(operation)
        raise Unknown("read time-out")

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        self.looked_up.append(operation)
        return self.executed.get(operation.idempotency_key)

    async def settle(self, tx: Transaction, operations: Sequence[Operation]) -> None:
        self.groups.append([operation.id for operation in operations])
        for operation in operations:
            await tx.execute("INSERT INTO effects (event_id, key) VALUES ($1, $2)", operation.id, operation.state.value)
            if operation.subject in self.locked:
                await tx.execute(LOCKED)
            if operation.subject in self.poisoned:
                raise ValueError("poison")
            if self.settle_errors:
                raise self.settle_errors.pop()
            self.settled.append(operation)
            if self.plans_next and operation.absent:
                after = PlannedOperation("create", ORDER, operation.number + 1, "stripe", operation.request, NOW)
                await plan(tx, [after])


def runner(db: Database, clock: ManualClock, provider: Provider, **options: Any) -> OperationRunner:
    return OperationRunner(
        db, http_timeout=options.pop("http_timeout", HTTP_TIMEOUT), clock=clock, calls={"create": provider}, **options
    )


def some(count: int) -> list[PlannedOperation]:
    """Operations of as many subjects."""
    return [PlannedOperation("create", f"{ORDER[:-1]}{n}", 1, "stripe", b"{}", NOW) for n in range(count)]


async def planned(db: Database, operation: PlannedOperation = CREATE) -> str:
    async with db.transaction() as tx:
        await plan(tx, [operation])
    return operation.id


async def read(db: Database, operation_id: str) -> Operation:
    operation = await get_operation(db, operation_id)
    assert operation is not None
    return operation


async def end_lease(db: Database) -> None:
    """What waiting would do."""
    await db.fetch(
        "UPDATE operations SET lease_until = clock_timestamp() - interval '1 ms' WHERE lease_until IS NOT NULL"
    )


async def effects(db: Database) -> list[str]:
    return [row["key"] for row in await db.fetch("SELECT key FROM effects ORDER BY place")]
