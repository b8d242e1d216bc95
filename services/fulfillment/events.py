"""The door for events: what orders asks, folded in the order of its topic.

Why: a request that must not be lost is an event (S-2), and every event read has a named outcome (S-25).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.consumer import Handler, commanding
from services.chassis.db import Transaction
from services.fulfillment import domain
from services.fulfillment.usecases import CONSUMER, Context, Step, apply

__all__ = ["CONSUMER", "TOPICS", "TRANSLATIONS", "handler"]

TOPICS = ("onefold.orders.v1",)


def handler(context: Context) -> Handler:
    """The consumer's handler; types that are not for fulfillment are ignored."""

    async def fold(tx: Transaction, steps: Sequence[Step]) -> list[str]:
        decisions = await apply(tx, context, steps, create=True)
        return [decision.outcome for decision in decisions if decision is not None]  # create=True made every root

    return commanding({kind: partial(_step, translate) for kind, translate in TRANSLATIONS.items()}, fold)


def _step(translate: Callable[[Any], domain.Input], message: Any, event_id: str) -> Step:
    return Step(message.context.order_id, translate(message), event_id)


def _request(event: orders_pb2.FulfillmentRequested) -> domain.Input:
    lines = tuple(domain.LineQuantity(unit.line, unit.sku, unit.quantity) for unit in event.lines)
    return domain.RequestFulfillment(event.request_id, event.round, lines)


def _cancel(event: orders_pb2.FulfillmentCancellationRequested) -> domain.Input:
    return domain.CancelFulfillment(event.cancellation_id, event.request_id)


def _hold(event: orders_pb2.FulfillmentHoldRequested) -> domain.Input:
    return domain.HoldFulfillment(event.request_id, event.reason)


def _resume(event: orders_pb2.FulfillmentResumeRequested) -> domain.Input:
    return domain.ResumeFulfillment(event.request_id)


TRANSLATIONS: Mapping[str, Callable[[Any], domain.Input]] = {
    "onefold.orders.v1.FulfillmentRequested": _request,
    "onefold.orders.v1.FulfillmentCancellationRequested": _cancel,
    "onefold.orders.v1.FulfillmentHoldRequested": _hold,
    "onefold.orders.v1.FulfillmentResumeRequested": _resume,
}
"""Event type to the input that it asks for. `ReturnRequested` belongs to the returns' lane (S-21)."""
