"""What the operations of payments do at the provider, and what their outcomes mean for the payable.

Why: the outcome of a call and its effect commit together, so a crash leaves neither without the other (S-15).
"""

from collections.abc import Mapping, Sequence
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
    call = Call(context)
    return {kind.value: call for kind in Kind}


class Call:
    """Every kind of operation; the provider tells them apart."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Ask the provider."""
        return await self._context.provider.send(operation)

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """Find out what became of it."""
        return await self._context.provider.look_up(operation)

    async def settle(self, tx: Transaction, operations: Sequence[Operation]) -> None:
        """Decide what the outcomes mean; until now they were under way, as far as the domain knows."""
        before = await payables.lock(tx, [operation.subject for operation in operations])
        steps = []
        for operation in operations:
            payable, parameters = before[operation.subject], operation.parameters
            kind = Kind(operation.kind)
            under_way = domain.Operation(domain.operation_id(kind, operation.number), kind, parameters["target"])
            before[operation.subject] = domain.under_way(payable, under_way)
            end = self._end(operation, under_way, payable)
            checkout = Checkout.of(parameters["checkout"])
            steps.append(Step(operation.subject, end, operation.id, checkout, traceparent=operation.traceparent))
        await decide(tx, self._context, steps, before)

    def _end(self, operation: Operation, under_way: domain.Operation, payable: domain.Payable) -> domain.OperationEnded:
        seen = self._seen(operation, under_way.kind)
        if isinstance(seen, domain.AttemptSeen) and seen.asked:
            seen = replace(seen, as_of=payable.attempt(under_way.target_id).state_at)
        return domain.OperationEnded(
            operation_id=under_way.id,
            kind=under_way.kind,
            target_id=under_way.target_id,
            succeeded=operation.state is OperationState.SUCCEEDED,
            seen=seen,
            code=operation.error_code,
            reason=_reason(operation),
            absent=operation.absent,
        )

    def _seen(self, operation: Operation, kind: Kind) -> domain.AttemptSeen | domain.RefundSeen | None:
        if operation.answer is None:
            return None
        at = operation.settled_at or self._context.clock.now()
        return self._context.provider.read_answer(kind, operation.answer, at)


def _reason(operation: Operation) -> str:
    """What is published: the code. The provider's words may repeat what the customer typed, and stay in the journal."""
    if operation.state is OperationState.SUCCEEDED:
        return ""
    if operation.absent:
        return "The payment provider never received it."
    return f"The payment provider refused it: {operation.error_code}."
