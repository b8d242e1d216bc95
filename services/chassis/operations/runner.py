"""Carries operations to their providers and their outcomes home.

Why: between "planned" and "settled" anything may die, and whoever comes next must neither repeat nor forget the call.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.errors import NotFound
from services.chassis.incidents import Incident, open_incidents
from services.chassis.operations import journal
from services.chassis.operations.errors import Declined, Retryable, Unknown
from services.chassis.operations.model import (
    ABSENT,
    Operation,
    OperationState,
    ProviderCall,
)
from services.chassis.telemetry import counter, get_logger, traced

log = get_logger(__name__)

RESEND_FOR: Final = timedelta(
    hours=23
)  # providers keep idempotency keys for at least 24 h (F-9)
UNRESOLVED: Final = "OPERATION_UNRESOLVED"
UNSETTLED: Final = "OPERATION_UNSETTLED"
_LOOK_UP_AT_MOST_EVERY: Final = timedelta(hours=1)
_SETTLE_PAUSE_S: Final = 0.1

_outcomes = counter(
    "operations_total", "Calls to providers by kind and outcome", ["kind", "outcome"]
)


@dataclass(frozen=True, slots=True)
class BackOff:
    """Pauses between tries: `first`, then doubled up to `longest`."""

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=10)

    def pause(self, tries: int) -> timedelta:
        """The pause after the `tries`th try."""
        return min(self.longest, self.first * 2 ** min(max(tries - 1, 0), 30))


@dataclass(frozen=True, slots=True)
class _Result:
    """How an operation ended."""

    state: OperationState
    answer: Mapping[str, Any] | None = None
    error_code: str = ""
    error: str = ""


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
        self._timeout = http_timeout
        self._lease = 3 * http_timeout
        self._clock = clock
        self._calls = dict(calls)
        self._places = asyncio.Semaphore(max_in_flight)
        self._back_off = back_off or BackOff()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run_once(self, limit: int = 100) -> int:
        """Drive what is due: fresh plans, retries, and what a dead sender left behind. Returns how many."""
        ids = await journal.due(
            self._database, list(self._calls), self._clock.now(), limit
        )
        results = await asyncio.gather(
            *(self._join(operation_id) for operation_id in ids), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(ids)

    async def run_now(self, operation_id: str) -> Operation:
        """Drive one operation for a caller who waits, and return what became of it.

        A caller that goes away stops nothing (F-41). It may come back open: SENT while another process has it, SENT
        or UNKNOWN when it has to be tried again; `run_once` goes on with it then. Raises NotFound.
        """
        await self._join(operation_id)
        return await self._reload(operation_id)

    async def declare_absent(self, operation_id: str) -> Operation:
        """A person has seen that the provider never executed it: FAILED, and the service goes on from there."""
        operation = await self._database.run(
            lambda tx: journal.take(tx, operation_id, self._lease)
        )
        if operation is not None:
            await self._settle(
                operation,
                _Result(
                    OperationState.FAILED, None, ABSENT, "declared absent by a person"
                ),
            )
        return await self._reload(operation_id)

    async def close(self) -> None:
        """Wait for the calls under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _reload(self, operation_id: str) -> Operation:
        operation = await journal.get_operation(self._database, operation_id)
        if operation is None:
            raise NotFound(f"operation {operation_id}")
        return operation

    async def _join(self, operation_id: str) -> None:
        """One task per operation and process; it outlives callers that are cancelled."""
        task = self._running.get(operation_id)
        if task is None:
            task = asyncio.create_task(
                self._drive(operation_id), name=f"operation {operation_id}"
            )
            self._running[operation_id] = task
            task.add_done_callback(lambda _: self._running.pop(operation_id, None))
        await asyncio.shield(task)

    async def _drive(self, operation_id: str) -> None:
        async with self._places:
            started = asyncio.get_running_loop().time()
            taken = await self._database.run(lambda tx: self._take(tx, operation_id))
            if taken is None:
                return
            operation, may_send = taken
            with traced(operation.traceparent):
                if not may_send:
                    may_send = await self._resolve(operation)
                    if may_send:
                        started = asyncio.get_running_loop().time()
                        marked = await self._database.run(
                            lambda tx: self._mark_sent(tx, operation)
                        )
                        if marked is None:
                            return
                        operation = marked
                if may_send:
                    await self._send(operation, started)

    async def _take(
        self, tx: Transaction, operation_id: str
    ) -> tuple[Operation, bool] | None:
        """Take the lease, and where nothing is in doubt mark it SENT in the same transaction."""
        operation = await journal.take(tx, operation_id, self._lease)
        if operation is None:
            return None
        if operation.in_doubt or self._too_old(operation):
            return operation, False
        marked = await self._mark_sent(tx, operation)
        return (marked, True) if marked else None

    async def _mark_sent(
        self, tx: Transaction, operation: Operation
    ) -> Operation | None:
        return await journal.mark_sent(tx, operation, self._clock.now(), self._lease)

    async def _resolve(self, operation: Operation) -> bool:
        """Find out what became of an earlier try; True if the same bytes may be sent again."""
        if not operation.in_doubt:  # refused for 23 h before it was executed
            await self._settle(
                operation, _Result(OperationState.FAILED, None, ABSENT, operation.error)
            )
            return False
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await self._calls[operation.kind].look_up(operation)
        except Declined as refusal:
            await self._settle(operation, _declined(refusal))
            return False
        except Exception as error:
            log.warning(
                "operation_look_up_failed",
                operation_id=operation.id,
                kind=operation.kind,
                error=repr(error),
            )
            await self._postpone_look_up(operation, f"look-up: {error!r}")
            return False
        if answer is not None:
            await self._settle(operation, _Result(OperationState.SUCCEEDED, answer))
            return False
        if operation.key_spent:
            await self._settle(
                operation, _Result(OperationState.FAILED, None, ABSENT, operation.error)
            )
            return False
        if self._too_old(operation):
            await self._postpone_look_up(
                operation, "not found at the provider, and too old to be sent again"
            )
            return False
        return True

    async def _send(self, operation: Operation, started: float) -> None:
        if asyncio.get_running_loop().time() - started > self._timeout.total_seconds():
            # Marked SENT, but this process stood still: the lease might end while the call is under way (S-16).
            await self._retry_later(operation, Retryable("stood still before sending"))
            return
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await self._calls[operation.kind].send(operation)
        except Declined as refusal:
            await self._settle(operation, _declined(refusal))
        except Retryable as error:
            await self._retry_later(operation, error)
        except (
            Exception
        ) as error:  # a time-out and a bug alike: it may have been executed
            key_spent = isinstance(error, Unknown) and error.key_spent
            _outcomes.labels(operation.kind, "unknown").inc()
            log.warning(
                "operation_unknown",
                operation_id=operation.id,
                kind=operation.kind,
                error=repr(error),
            )
            await self._postpone(
                operation,
                OperationState.UNKNOWN,
                self._back_off.pause(operation.tries),
                repr(error),
                key_spent=key_spent,
                in_doubt=True,
                release=False,
            )
        else:
            await self._settle(operation, _Result(OperationState.SUCCEEDED, answer))

    async def _retry_later(self, operation: Operation, error: Retryable) -> None:
        _outcomes.labels(operation.kind, "retryable").inc()
        pause = error.after or self._back_off.pause(operation.tries)
        await self._postpone(
            operation,
            OperationState.SENT,
            pause,
            str(error),
            in_doubt=False,
            release=True,
        )

    async def _postpone_look_up(self, operation: Operation, error: str) -> None:
        """Look again later: soon at first, then hourly; from 23 h on a person knows of it."""
        now = self._clock.now()
        age = now - (operation.first_sent_at or now)
        pause = min(max(age / 2, self._back_off.first), _LOOK_UP_AT_MOST_EVERY)
        await self._postpone(
            operation, OperationState.UNKNOWN, pause, error, in_doubt=True, release=True
        )
        if self._too_old(operation):
            await self._raise_incident(operation, UNRESOLVED, error)

    async def _postpone(
        self,
        operation: Operation,
        state: OperationState,
        pause: timedelta,
        error: str,
        **flags: bool,
    ) -> None:
        next_try_at = self._clock.now() + pause

        async def body(tx: Transaction) -> None:
            await journal.postpone(tx, operation, state, next_try_at, error, **flags)

        await self._database.run(body)

    async def _settle(self, operation: Operation, result: _Result) -> None:
        """Store the outcome and its effect in one transaction; nothing if somebody else did."""

        async def body(tx: Transaction) -> None:
            settled = await journal.settle(
                tx,
                operation,
                result.state,
                self._clock.now(),
                answer=result.answer,
                error_code=result.error_code,
                error=result.error,
            )
            if settled is not None:
                await self._calls[operation.kind].settle(tx, settled)

        try:
            await self._through_broken_plumbing(body)
        except Exception as error:
            if is_broken_plumbing(error):
                raise
            log.exception(
                "operation_not_settled", operation_id=operation.id, kind=operation.kind
            )
            pause = max(self._back_off.pause(operation.tries), self._timeout)
            await self._postpone(
                operation,
                OperationState.UNKNOWN,
                pause,
                f"settle: {error!r}",
                in_doubt=True,
                release=True,
            )
            await self._raise_incident(operation, UNSETTLED, repr(error))
        else:
            _outcomes.labels(
                operation.kind, result.error_code or result.state.value.lower()
            ).inc()

    async def _through_broken_plumbing(self, body: Any) -> None:
        """The answer is in our hands: store it while the lease lasts; after that whoever takes over looks it up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout.total_seconds()
        while True:
            try:
                return await self._database.run(body)
            except Exception as error:
                if not is_broken_plumbing(error) or loop.time() > deadline:
                    raise
                log.warning("operation_settle_retried", error=repr(error))
            await asyncio.sleep(_SETTLE_PAUSE_S)

    async def _raise_incident(
        self, operation: Operation, kind: str, error: str
    ) -> None:
        incident = Incident(
            kind=kind,
            subject=operation.id,
            order_id=operation.subject,
            opened_at=self._clock.now(),
            details={
                "operation": operation.kind,
                "number": operation.number,
                "provider": operation.provider,
                "error": error[:500],
            },
        )
        await self._database.run(lambda tx: open_incidents(tx, [incident]))

    def _too_old(self, operation: Operation) -> bool:
        sent = operation.first_sent_at
        return sent is not None and self._clock.now() - sent >= RESEND_FOR


def _declined(refusal: Declined) -> _Result:
    return _Result(
        OperationState.FAILED, refusal.answer, refusal.code or "DECLINED", str(refusal)
    )
