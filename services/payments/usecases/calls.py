"""What the operations of payments do at the provider, and what their outcomes mean for the payable.

Why: the outcome of a call and its effect commit together, so a crash leaves neither without the other (S-15).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.chassis.db import Transaction
from services.chassis.operations import Operation, OperationState, ProviderCall
from services.payments import domain
from services.payments.domain import Kind
from services.payments.providers.base import Checkout
from services.payments.store import payables
from services.payments.usecases.decisions import Context, Step, decide


def provider_calls(context: Context) -> Mapping[str, ProviderCall]:
    """The calls of every kind, for the runner."""
    return {kind.value: Call(context, kind) for kind in Kind}


class Call:
    """One kind of operation."""

    def __init__(self, context: Context, kind: Kind) -> None:
        self._context = context
        self._kind = kind

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Ask the provider."""
        return await self._context.provider.send(operation)

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """Find out what became of it."""
        return await self._context.provider.look_up(operation)

    async def settle(self, tx: Transaction, operation: Operation) -> None:
        """Decide what the outcome means; until now the operation was under way, as far as the domain knows."""
        parameters = operation.parameters
        under_way = domain.Operation(
            domain.operation_id(self._kind, operation.number), self._kind, parameters["target"]
        )
        before = await payables.lock(tx, [operation.subject])
        payable = before[operation.subject]
        before[operation.subject] = domain.under_way(payable, under_way)
        seen = self._seen(operation)
        if isinstance(seen, domain.AttemptSeen) and seen.asked:
            seen = replace(seen, as_of=payable.attempt(under_way.target_id).state_at)
        end = domain.OperationEnded(
            operation_id=under_way.id,
            kind=self._kind,
            target_id=under_way.target_id,
            succeeded=operation.state is OperationState.SUCCEEDED,
            seen=seen,
            code=operation.error_code,
            reason=_reason(operation),
            absent=operation.absent,
        )
        checkout = Checkout.of(parameters["checkout"])
        await decide(tx, self._context, [Step(operation.subject, end, operation.id, checkout)], before)

    def _seen(self, operation: Operation) -> domain.AttemptSeen | domain.RefundSeen | None:
        if operation.answer is None:
            return None
        at = operation.settled_at or self._context.clock.now()
        return self._context.provider.read_answer(self._kind, operation.answer, at)


def _reason(operation: Operation) -> str:
    """What is published: the code. The provider's words may repeat what the customer typed, and stay in the journal."""
    if operation.state is OperationState.SUCCEEDED:
        return ""
    if operation.absent:
        return "The payment provider never received it."
    return f"The payment provider refused it: {operation.error_code}."
