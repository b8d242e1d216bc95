"""Carries operations to their providers and their outcomes home.

Why: between "planned" and "settled" anything may die, and whoever comes next must neither repeat nor forget the call.
Each call is a task of its own; what is written before and after it is written for all that are ready together.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.chassis.batch import Batcher, Retry
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.errors import NotFound
from services.chassis.operations import journal
from services.chassis.operations.errors import Declined, Retryable
from services.chassis.operations.model import Operation, ProviderCall, Result
from services.chassis.operations.settling import RESEND_FOR, BackOff, Settler
from services.chassis.telemetry import get_logger, traced

log = get_logger(__name__)


class OperationRunner:
    """Runs the operations of the kinds in `calls`, at most `max_in_flight` at once.

    `max_in_flight` lies below the size of the HTTP client's pool: a call that dies waiting for a connection was never
    sent, and must not have become SENT (F-61). Business time comes from `clock`, leases from the database.
    """

    def __init__(
        self,
        database: Database,
        *,
        http_timeout: timedelta,
        clock: Clock,
        calls: Mapping[str, ProviderCall],
        max_in_flight: int = 50,
        back_off: BackOff | None = None,
    ) -> None:
        self._database = database
        self._timeout_s = http_timeout.total_seconds()
        self._lease = 3 * http_timeout
        self._clock = clock
        self._calls = dict(calls)
        self._places = asyncio.Semaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._settler = Settler(database, clock, self._calls, http_timeout, back_off or BackOff())
        # What cannot be claimed now is due again later.
        self._claims = Batcher(self._claim, name="operations_claimed", retry=Retry(within=timedelta(0)))
        self._running: dict[str, asyncio.Task[Operation | None]] = {}

    async def run_once(self, limit: int = 100) -> int:
        """Drive what is due to its end: fresh plans, retries, what a dead sender left behind. Returns how many."""
        ids = await journal.due(self._database, list(self._calls), self._clock.now(), limit)
        results = await asyncio.gather(*(self._join(operation_id) for operation_id in ids), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(ids)

    async def start_due(self, limit: int = 100) -> int:
        """Begin what is due and wait for none of it, for one slow call would hold up the rest. Returns how many.

        While all places are taken it waits for a free one.
        """
        if len(self._running) >= self._max_in_flight:
            await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        limit = min(limit, max(self._max_in_flight - len(self._running), 1))
        ids = await journal.due(self._database, list(self._calls), self._clock.now(), limit)
        fresh = [operation_id for operation_id in ids if operation_id not in self._running]
        for operation_id in fresh:
            self._start(operation_id)
        return len(fresh)

    async def run_now(self, operation_id: str) -> Operation:
        """Drive one operation for a caller who waits, and return what became of it.

        A caller that goes away stops nothing (F-41). It may come back open: SENT while another process has it, SENT
        or UNKNOWN when it has to be tried again; `run_once` goes on with it then. Raises NotFound.
        """
        return await self._join(operation_id) or await self._reload(operation_id)

    async def declare_absent(self, operation_id: str) -> Operation:
        """A person has seen that the provider never executed it: FAILED, and the service goes on from there."""
        operation = await self._database.run(lambda tx: journal.take(tx, operation_id, self._lease))
        if operation is not None:
            await self._settler.settle(operation, Result.absent("declared absent by a person"))
        return await self._reload(operation_id)

    async def close(self) -> None:
        """Wait for the calls under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _reload(self, operation_id: str) -> Operation:
        operation = await journal.get_operation(self._database, operation_id)
        if operation is None:
            raise NotFound(f"There is no operation {operation_id}.")
        return operation

    async def _join(self, operation_id: str) -> Operation | None:
        """The settled operation; None if it is not. One task per operation; it outlives callers that are cancelled."""
        return await asyncio.shield(self._running.get(operation_id) or self._start(operation_id))

    def _start(self, operation_id: str) -> asyncio.Task[Operation | None]:
        task = asyncio.create_task(self._drive(operation_id), name=f"operation {operation_id}")
        self._running[operation_id] = task

        def ended(task: asyncio.Task[Operation | None]) -> None:
            self._running.pop(operation_id, None)
            if not task.cancelled() and (error := task.exception()) is not None:  # its lease ends, and it comes again
                log.warning("operation_interrupted", operation_id=operation_id, error=repr(error))

        task.add_done_callback(ended)
        return task

    async def _drive(self, operation_id: str) -> Operation | None:
        async with self._places:
            started = asyncio.get_running_loop().time()
            claimed = await self._claims.submit(operation_id)
            if claimed is None:
                return None
            operation, may_send = claimed
            with traced(operation.traceparent):
                if may_send:
                    return await self._send(operation, started)
                if not await self._resolve(operation):
                    return None
                started = asyncio.get_running_loop().time()
                now, lease = self._clock.now(), self._lease
                marked = await self._database.run(lambda tx: journal.mark_sent(tx, operation, now, lease))
                return await self._send(marked, started) if marked is not None else None

    async def _claim(self, operation_ids: Sequence[str]) -> list[tuple[Operation, bool] | None]:
        """Take the leases, and where nothing is in doubt mark them SENT by the same statement."""
        now = self._clock.now()
        claimed = await journal.claim(self._database, operation_ids, self._lease, now, now - RESEND_FOR)
        return [claimed.get(operation_id) for operation_id in operation_ids]

    async def _resolve(self, operation: Operation) -> bool:
        """Find out what became of an earlier try; True if the same bytes may be sent again."""
        if not operation.in_doubt:  # for 23 h it was refused before it was executed
            await self._settler.settle(operation, Result.absent(operation.error))
            return False
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._calls[operation.kind].look_up(operation)
        except Declined as refusal:
            await self._settler.settle(operation, Result.declined(refusal))
            return False
        except Exception as error:  # noqa: BLE001 - whatever it was, we know no more than before
            log.warning("operation_look_up_failed", operation_id=operation.id, error=repr(error))
            await self._settler.unresolved(operation, f"look-up: {error!r}")
            return False
        if answer is not None:
            await self._settler.settle(operation, Result.succeeded(answer))
        elif operation.key_spent:
            await self._settler.settle(operation, Result.absent(operation.error))
        elif self._settler.too_old(operation):
            await self._settler.unresolved(operation, "not found at the provider, and too old to be sent again")
        else:
            return True
        return False

    async def _send(self, operation: Operation, started: float) -> Operation | None:
        if asyncio.get_running_loop().time() - started > self._timeout_s:
            # Marked SENT, but this process stood still: the lease might end while the call is under way (S-16).
            await self._settler.retry_later(operation, Retryable("stood still before sending"))
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._calls[operation.kind].send(operation)
        except Declined as refusal:
            return await self._settler.settle(operation, Result.declined(refusal))
        except Retryable as error:
            await self._settler.retry_later(operation, error)
        except Exception as error:  # noqa: BLE001 - a time-out and a bug alike: it may have been executed
            await self._settler.unknown(operation, error)
        else:
            return await self._settler.settle(operation, Result.succeeded(answer))
        return None
