"""What the operations of fulfillment do at the provider, and what their outcomes mean.

Why: the outcome of a call and its effect commit together, so a crash leaves neither without the other (S-15).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.chassis.consumer import parked_keys
from services.chassis.db import Database, Transaction
from services.chassis.operations import ABSENT, Declined, Operation, OperationState, ProviderCall, Retryable
from services.fulfillment import domain
from services.fulfillment.providers.base import GONE
from services.fulfillment.store import fulfillments
from services.fulfillment.usecases.decisions import CONSUMER, Context, Step, decide


def provider_calls(database: Database, context: Context) -> Mapping[str, ProviderCall]:
    """The calls of every kind, for the runner."""
    call = Call(database, context)
    return {kind.value: call for kind in domain.Kind}


class Call:
    """Every kind of operation; the provider tells them apart."""

    def __init__(self, database: Database, context: Context) -> None:
        self._database = database
        self._context = context

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Ask the provider. What it certainly did not execute has ended: when to try anew is the domain's (R-4.7).

        Not so where the provider said when (429): that says nothing about the order, and no try is lost by it (F-18).
        """
        if operation.kind == domain.Kind.CONFIRM and await self._is_stopped(operation.subject):
            raise Declined(ABSENT, "the order was cancelled, or its events wait parked")
        try:
            return await self._context.provider.send(operation)
        except Retryable as error:
            if error.after is not None:
                raise
            raise Declined(ABSENT, str(error)) from error

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """Find out what became of it.

        A create or confirm that was not executed has ended: whether it is still wanted, after a cancellation was heard
        meanwhile, is the domain's, under the root's lock (S-10). A cancel is wanted whatever was heard: sent again.
        """
        answer = await self._context.provider.look_up(operation)
        if answer is None and operation.kind != domain.Kind.CANCEL:
            raise Declined(ABSENT, f"not executed, by look-up: {operation.error}")
        return answer

    async def settle(self, tx: Transaction, operations: Sequence[Operation]) -> None:
        """Decide what the outcomes mean; until now they were under way, as far as the domain knows."""
        roots = await fulfillments.lock(tx, [operation.subject for operation in operations])
        for operation in operations:
            root = roots[operation.subject]
            under_way = domain.Operation(domain.Kind(operation.kind), operation.number)
            roots[operation.subject] = replace(root, operations=(*root.operations, under_way))
        steps = [
            Step(operation.subject, self._end(operation), operation.id, traceparent=operation.traceparent)
            for operation in operations
        ]
        await decide(tx, self._context, steps, roots)

    async def _is_stopped(self, order_id: str) -> bool:
        """Whether there is something to hear or to heed before the customer's goods are charged (S-10, S-27).

        What is planned is taken back by a cancellation, but not what was being sent just then and is sent again.
        """
        root = (await fulfillments.read(self._database, [order_id]))[order_id]
        return root.cancellation is not None or bool(await parked_keys(self._database, CONSUMER, [order_id]))

    def _end(self, operation: Operation) -> domain.OperationEnded:
        now = self._context.clock.now()
        return domain.OperationEnded(
            domain.Kind(operation.kind),
            operation.number,
            operation.state is OperationState.SUCCEEDED,
            seen=self._context.provider.read_object(operation.answer, now) if operation.answer else None,
            code=operation.error_code,
            reason=operation.error,
            absent=operation.error_code == ABSENT,
            reference=operation.parameters["reference"],
            gone=operation.error_code == GONE,
        )
