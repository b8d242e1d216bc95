"""The saga: `apply_fact()` moves a column, `advance()` looks at all columns and decides what comes next.

The rules stand in one order in one table, so that there is one place to read what an order does (SAGA 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.orders.domain import cancelling, delivering, events, facts, paying
from services.orders.domain.decision import Advanced, Folded, move
from services.orders.domain.fold_fulfillment import fold_fulfillment
from services.orders.domain.fold_parcels import fold_parcel
from services.orders.domain.fold_payments import fold_payment
from services.orders.domain.fold_stock import fold_stock
from services.orders.domain.order import Order
from services.orders.domain.policies import Policies
from services.orders.domain.states import CancellationState, OrderState

Rule = Callable[[Order, datetime, Policies], Advanced | None]

ENDED: Final = frozenset({OrderState.DELIVERED, OrderState.CANCELLED, OrderState.REFUNDED})
MOST_STEPS: Final = 1_000


class Endless(Exception):
    """Two rules undo each other: a defect, never an input."""


def archive(order: Order, actor: str, reason: str) -> Advanced:
    """Put an ended order away; the state it ended in still says whose the money is."""
    progress = replace(order.progress, archived_from=order.state)
    archived = move(order, OrderState.ARCHIVED, actor, reason, progress=progress)
    return replace(archived, events=(events.OrderArchived(order.number),))


def old_enough(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """By age an ended order is archived."""
    ended_at = order.progress.ended_at
    if order.state not in ENDED or policies.archive_after is None or ended_at is None:
        return None
    return archive(order, "time", "by age") if now >= ended_at + policies.archive_after else None


RULES: Final[tuple[Rule, ...]] = (
    paying.excess_money,
    paying.late_money,
    delivering.parcel_sent,
    delivering.returned,
    paying.dispute_lost,
    paying.refunded_elsewhere,
    paying.attempt_made,
    paying.paid,
    paying.payment_failed,
    delivering.hold_lost,
    paying.lapsed,
    paying.payment_lost,
    delivering.shortage,
    paying.capture,
    delivering.processing,
    delivering.units_withdrawn,
    delivering.not_made,
    delivering.hold,
    cancelling.proposal,
    paying.refunded,
    delivering.delivered,
    old_enough,
)
"""The rows of SAGA 2, the first that fires wins; none of them is looked at while a cancellation is REQUESTED."""


def apply_fact(order: Order, fact: facts.Fact) -> Folded:
    """Move the fact's own column; nothing is decided here."""
    match fact:
        case facts.PaymentFact():
            return fold_payment(order, fact)
        case facts.StockFact():
            return fold_stock(order, fact)
        case facts.ParcelFact():
            return fold_parcel(order, fact)
        case facts.FulfillmentFact():
            return fold_fulfillment(order, fact)
        case _:
            raise TypeError(f"{type(fact).__name__} is no fact about an order")


def advance(order: Order, now: datetime, policies: Policies) -> Advanced:
    """Apply the rules until nothing changes."""
    result = Advanced(order)
    for _ in range(MOST_STEPS):
        step = _step(result.order, now, policies)
        if step is None:
            return result
        result = result.then(step)
    raise Endless(f"order {order.order_id} in {result.order.state}")


def _step(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    if order.cancellation.state is CancellationState.REQUESTED:
        return cancelling.cancelling(order, now, policies)
    for rule in RULES:
        step = rule(order, now, policies)
        if step is not None:
            return step
    return None
