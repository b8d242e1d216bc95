"""The door for events: what orders tells and asks, folded in the order of its topic.

Why: a request that must not be lost is an event (S-2), and every event read has a named outcome (S-25).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.consumer import Handler, commanding
from services.chassis.db import Transaction
from services.payments import domain
from services.payments.usecases.decisions import Context, Step, apply

CONSUMER = "payments"
TOPICS = ("onefold.orders.v1",)


def handler(context: Context) -> Handler:
    """The consumer's handler; types that are not for payments are ignored."""

    async def fold(tx: Transaction, steps: Sequence[Step]) -> list[str]:
        decisions = await apply(tx, context, steps, create=True)
        return [decision.outcome for decision in decisions if decision is not None]  # create=True made every root

    return commanding({kind: partial(_step, translate) for kind, translate in TRANSLATIONS.items()}, fold)


def _step(translate: Callable[[Any], domain.Input], message: Any, event_id: str) -> Step:
    return Step(message.context.order_id, translate(message), event_id)


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
