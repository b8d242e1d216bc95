"""What is written down after a try: the outcome with its effect, or when to try again.

Why: an answer in our hands is stored together with what it changes, or not at all and then looked up again (S-15).
Answers that come together are stored together; one whose effect fails, or has to wait, costs the others a second
transaction only.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from services.chassis.batch import Batcher, Retry
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.incidents import Incident, match, open_incidents
from services.chassis.operations import journal
from services.chassis.operations.errors import Retryable, Unknown
from services.chassis.operations.model import Operation, OperationState, ProviderCall, Result
from services.chassis.telemetry import counter, get_logger

log = get_logger(__name__)
_Ended = tuple[Operation, Result]

RESEND_FOR: Final = timedelta(hours=23)  # providers keep idempotency keys for at least 24 h (F-9)
DELAYED: Final = "operation_delayed"
UNRESOLVED: Final = "operation_unresolved"
UNSETTLED: Final = "operation_unsettled"
_DELAYED_AFTER: Final = timedelta(hours=1)
_LOOK_UP_AT_MOST_EVERY: Final = timedelta(hours=1)
_SETTLE_PAUSE_S: Final = 0.2

_outcomes = counter("operations_total", "Calls to providers by kind and outcome", ["kind", "outcome"])


@dataclass(frozen=True, slots=True)
class BackOff:
    """Pauses between tries: `first`, then doubled up to `longest`."""

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=10)

    def pause(self, tries: int) -> timedelta:
        """The pause after the `tries`th try."""
        pause: timedelta = self.first * 2 ** min(max(tries - 1, 0), 30)
        return min(self.longest, pause)


async def withdraw(tx: Transaction, operation_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Take back those that were surely never executed; returns their ids. The others must be waited for."""
    withdrawn = await journal.withdraw(tx, operation_ids, now)
    await _end_delays(tx, withdrawn, now)
    return {operation.id for operation in withdrawn}


class Settler:
    """Writes outcomes for the runner; every step is fenced, so a holder that lost its lease writes nothing."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        calls: Mapping[str, ProviderCall],
        timeout: timedelta,
        back_off: BackOff,
    ) -> None:
        self._database = database
        self._clock = clock
        self._calls = calls
        self._back_off = back_off
        self._timeout = timeout
        self._ends = Batcher(self._settle, name="operations_settled", retry=Retry(within=timedelta(0)))

    def too_old(self, operation: Operation) -> bool:
        """Whether it was first sent so long ago that nothing is sent again."""
        sent = operation.first_sent_at
        return sent is not None and self._clock.now() - sent >= RESEND_FOR

    async def settle(self, operation: Operation, result: Result) -> Operation | None:
        """Store the outcome and its effect in one transaction; None if somebody else did, or if it has to wait."""
        try:
            settled = await self._stored((operation, result))
        except Exception as error:
            if is_broken_plumbing(error):
                raise
            log.error("operation_not_settled", operation_id=operation.id, kind=operation.kind, exc_info=error)
            await self._look_again(operation, f"settle: {error!r}", self._incident(operation, UNSETTLED, repr(error)))
            return None
        _outcomes.labels(operation.kind, result.error_code or result.state.value.lower()).inc()
        return settled

    async def retry_later(self, operation: Operation, error: Retryable) -> None:
        """Never executed: the same bytes are sent again after a pause, and after an hour of that a person is told."""
        _outcomes.labels(operation.kind, "retryable").inc()
        pause = error.after or self._back_off.pause(operation.tries)
        late = self._clock.now() - (operation.first_sent_at or operation.planned_at) >= _DELAYED_AFTER
        incident = self._incident(operation, DELAYED, str(error)) if late else None
        await self._postpone(operation, OperationState.SENT, pause, str(error), incident, in_doubt=False, release=True)

    async def unknown(self, operation: Operation, error: Exception) -> None:
        """Perhaps executed, perhaps still under way: the lease runs on, and whoever comes after it looks up first."""
        _outcomes.labels(operation.kind, "unknown").inc()
        log.warning("operation_unknown", operation_id=operation.id, kind=operation.kind, error=repr(error))
        key_spent = isinstance(error, Unknown) and error.key_spent
        pause = self._back_off.pause(operation.tries)
        await self._postpone(
            operation,
            OperationState.UNKNOWN,
            pause,
            repr(error),
            key_spent=key_spent,
            in_doubt=True,
            release=False,
        )

    async def unresolved(self, operation: Operation, error: str) -> None:
        """The provider could not say, or shows nothing though it is too late to send: look again; a person knows."""
        incident = self._incident(operation, UNRESOLVED, error) if self.too_old(operation) else None
        await self._look_again(operation, error, incident)

    async def _look_again(self, operation: Operation, error: str, incident: Incident | None) -> None:
        """Soon at first, then hourly: half of the time that it is in doubt already."""
        age = self._clock.now() - (operation.first_sent_at or self._clock.now())
        pause = min(max(age / 2, self._back_off.first), _LOOK_UP_AT_MOST_EVERY)
        await self._postpone(operation, OperationState.UNKNOWN, pause, error, incident, in_doubt=True, release=True)

    async def _postpone(
        self,
        operation: Operation,
        state: OperationState,
        pause: timedelta,
        error: str,
        incident: Incident | None = None,
        **flags: bool,
    ) -> None:
        next_try_at = self._clock.now() + pause

        async def body(tx: Transaction) -> None:
            if await journal.postpone(tx, operation, state, next_try_at, error, **flags) and incident is not None:
                await open_incidents(tx, [incident])

        await self._database.run(body)

    async def _stored(self, ended: _Ended) -> Operation | None:
        """With those that end together; alone where that fails, for others must not wait for a row that is locked.

        The answer is in our hands: it is stored while the lease lasts; after that it is looked up.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout.total_seconds()
        try:
            return await self._ends.submit(ended)
        except Exception as error:
            if not is_broken_plumbing(error):
                raise
        while True:
            try:
                (settled,) = await self._settle([ended])
            except Exception as error:
                if not is_broken_plumbing(error) or loop.time() > deadline:
                    raise
                log.warning("operation_settle_retried", operation_id=ended[0].id, error=repr(error))
            else:
                return settled
            await asyncio.sleep(_SETTLE_PAUSE_S)

    async def _settle(self, ended: Sequence[_Ended]) -> list[Operation | None]:
        """Together, but of each subject one at a time: what the second answer means depends on the first."""
        settled: dict[str, Operation] = {}
        left = list(ended)
        while left:
            turn = {each[0].subject: each for each in reversed(left)}
            left = [each for each in left if turn[each[0].subject] is not each]
            for operation in await self._database.run(partial(self._store, ended=list(turn.values()))):
                settled[operation.id] = operation
        return [settled.get(operation.id) for operation, _ in ended]

    async def _store(self, tx: Transaction, *, ended: Sequence[_Ended]) -> list[Operation]:
        settled = await journal.settle(tx, ended, self._clock.now())
        by_call: dict[ProviderCall, list[Operation]] = {}
        for operation in settled:
            by_call.setdefault(self._calls[operation.kind], []).append(operation)
        for call, operations in by_call.items():
            await call.settle(tx, operations)
        await _end_delays(tx, settled, self._clock.now())
        return settled

    def _incident(self, operation: Operation, kind: str, error: str) -> Incident:
        return Incident(
            kind=kind,
            subject=_delay(operation) if kind == DELAYED else operation.id,
            order_id=operation.subject,
            opened_at=self._clock.now(),
            details={
                "operation": operation.kind,
                "number": operation.number,
                "provider": operation.provider,
                "error": error[:500],
            },
        )


async def _end_delays(tx: Transaction, ended: Sequence[Operation], now: datetime) -> None:
    """They are delayed no longer, but for what is absent and was planned anew: that may be refused like this one."""
    late = [each for each in ended if each.tries > 1 or each.number > 1]  # what went well at once was never delayed
    absent = [each for each in late if each.absent]
    again = await journal.asked_again(tx, absent) if absent else set()
    over = [_delay(each) for each in late if not each.absent or (each.kind, each.subject) not in again]
    if over:
        await match(tx, DELAYED, over, now=now)


def _delay(operation: Operation) -> str:
    """What is delayed: after 23 h it is asked for by another operation, and is no new incident."""
    return f"{operation.kind} {operation.subject}"
