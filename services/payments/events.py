"""The door for events: what orders tells and asks, folded in the order of its topic.

Why: a request that must not be lost is an event (S-2), and every event read has a named outcome (S-25).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.consumer import Handler
from services.chassis.db import Transaction
from services.chassis.inbox import IncomingEvent, Outcome, decode
from services.payments import domain
from services.payments.usecases.decisions import Context, Step, apply

CONSUMER = "payments"
TOPICS = ("onefold.orders.v1",)


def handler(context: Context) -> Handler:
    """The consumer's handler; types that are not for payments are ignored."""

    async def handle(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        steps = [_step(event) for event in events if event.type in TRANSLATIONS]
        outcomes = dict.fromkeys((event.id for event in events), Outcome.IGNORED)
        if steps:
            for step, decision in zip(steps, await apply(tx, context, steps, create=True), strict=True):
                assert decision is not None  # create=True made its root
                outcomes[step.caused_by] = Outcome(decision.outcome)
        return outcomes

    return handle


def _step(event: IncomingEvent) -> Step:
    message: Any = decode(event)
    return Step(message.context.order_id, TRANSLATIONS[event.type](message), event.id)


def _placed(event: orders_pb2.OrderCreated) -> domain.Input:
    return domain.OrderPlaced(_money(event.total))


def _cancel(event: orders_pb2.PaymentCancellationRequested) -> domain.Input:
    return domain.CancelPayment(event.cancellation_id)


def _capture(event: orders_pb2.PaymentCaptureRequested) -> domain.Input:
    return domain.CapturePayment(event.request_id, _money(event.amount))


def _refund(event: orders_pb2.RefundRequested) -> domain.Input:
    return domain.RequestRefund(event.refund_id, _money(event.amount), event.object_id)


def _money(money: common_pb2.Money) -> domain.Money:
    return domain.Money(money.amount_minor, money.currency)


TRANSLATIONS: Mapping[str, Callable[[Any], domain.Input]] = {
    "onefold.orders.v1.OrderCreated": _placed,
    "onefold.orders.v1.PaymentCancellationRequested": _cancel,
    "onefold.orders.v1.PaymentCaptureRequested": _capture,
    "onefold.orders.v1.RefundRequested": _refund,
}
"""Event type to the command that it asks for."""
