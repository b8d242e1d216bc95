"""Section 4 of the saga: ask payments and fulfillment, wait for both, then say how it ended.

While a cancellation is REQUESTED nothing else happens (S-30), because every other request would race with its answers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.orders.domain import events
from services.orders.domain.decision import Advanced, Incident, move
from services.orders.domain.money import ask_back, ask_back_units, asked_back, kept, money
from services.orders.domain.order import Cancellation, Order, Units
from services.orders.domain.policies import Policies
from services.orders.domain.states import (
    CancellationReason,
    CancellationState,
    OrderState,
)
from services.orders.domain.units import cancelled_units, common, minus, move_units

REQUESTED_BY_PEOPLE = frozenset({CancellationReason.CUSTOMER, CancellationReason.ADMIN})


def begin(order: Order, now: datetime, reason: CancellationReason, actor: str) -> Advanced:
    """Ask payments, and fulfillment once it was asked for, to cancel (S-8)."""
    asked = order.was_asked(order.fulfillment_id)
    proposed = order.cancellation.state is CancellationState.PROPOSED
    order = replace(
        order,
        cancellation=Cancellation(
            state=CancellationState.REQUESTED,
            number=order.cancellation.number + (0 if proposed else 1),
            reason=reason,
            actor=actor,
            asked_at=now,
            captured_before_minor=order.payment.captured_minor,
            fulfillment_asked=asked,
        ),
    )
    requests: list[events.OrderEvent] = [events.PaymentCancellationRequested(order.cancellation_id, reason)]
    if asked:
        requests.append(events.FulfillmentCancellationRequested(order.cancellation_id, order.fulfillment_id))
    return Advanced(order, tuple(requests))


def begin_once(order: Order, now: datetime, reason: CancellationReason, actor: str) -> Advanced | None:
    """Like begin, but a cause whose cancellation was refused is not asked again (S-30)."""
    return None if reason in order.progress.refused else begin(order, now, reason, actor)


def cancelling(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The only rule of an order whose cancellation is REQUESTED (S-11)."""
    asked = order.cancellation
    if asked.payment_answer is not None and (asked.fulfillment_answered or not asked.fulfillment_asked):
        return _settle(order, now)
    if not asked.alarmed and asked.asked_at is not None and now >= asked.asked_at + policies.cancellation_alarm:
        order = replace(order, cancellation=replace(asked, alarmed=True))
        return Advanced(order, incidents=(Incident("cancellation_waits", order.cancellation_id),))
    return None


def proposal(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """An undecided proposal is an incident after a day, and is over when nothing is left to stop."""
    asked = order.cancellation
    if asked.state is not CancellationState.PROPOSED:
        return None
    if not order.open_units or order.state not in (OrderState.PROCESSING, OrderState.SHIPPED):
        return refuse(order)
    if not asked.alarmed and asked.asked_at is not None and now >= asked.asked_at + policies.cancellation_alarm:
        order = replace(order, cancellation=replace(asked, alarmed=True))
        return Advanced(order, incidents=(Incident("cancellation_undecided", order.cancellation_id),))
    return None


def refuse(order: Order) -> Advanced:
    """The cancellation ends, the order goes on."""
    reason = order.cancellation.reason or CancellationReason.CUSTOMER
    said = events.OrderCancellationRefused(order.number, order.cancellation_id, reason)
    return Advanced(_ended(order), (said,))


def stoppable(order: Order) -> Units:
    """Open units that will certainly not ship: all of them where fulfilment was never asked for.

    An answer speaks of all units of the request: those cancelled before are among its cancelled ones.
    """
    asked = order.cancellation
    if not asked.fulfillment_asked:
        return order.open_units
    return common(order.open_units, minus(asked.cancelled, cancelled_units(order)))


def _settle(order: Order, now: datetime) -> Advanced:
    """Both have answered: refuse, cancel in part, or cancel (S-11)."""
    cancellation = order.cancellation
    late = order.payment.captured_minor > cancellation.captured_before_minor
    incidents = (Incident("money_after_cancellation", order.cancellation_id),) if late else ()
    if cancellation.reason is CancellationReason.EXPIRED and order.is_paid and kept(order) >= order.total_minor:
        ended = refuse(order)
    else:
        units = stoppable(order)
        if units == order.open_units and not order.any_shipped:
            ended = _cancel(order, now)
        elif units:
            ended = cancel_units(_ended(order), units)
        else:
            ended = refuse(order)
    return replace(ended, incidents=incidents + ended.incidents)


def _cancel(order: Order, now: datetime) -> Advanced:
    """Nothing left and nothing will leave: stock and money go back, and the order ends."""
    reason = order.cancellation.reason or CancellationReason.ADMIN
    units = order.open_units
    order, release = _release(order, ())
    refund = kept(order) + asked_back(order)
    order, refunds = ask_back(order, kept(order), f"cancelled: {reason.lower()}")
    order = move_units(order, units, "cancelled")
    to = OrderState.REFUNDED if reason is CancellationReason.REFUNDED else OrderState.CANCELLED
    ended = move(
        order,
        to,
        order.cancellation.actor,
        f"cancelled: {reason.lower()}",
        cancellation=replace(order.cancellation, state=CancellationState.DONE),
        progress=replace(order.progress, ended_at=now),
    )
    said: events.OrderEvent = events.OrderCancelled(order.number, reason, money(order, refund))
    if to is OrderState.REFUNDED:
        said = events.OrderRefunded(order.number, money(order, order.payment.refunded_minor))
    return replace(ended, events=(release, *refunds, said))


def cancel_units(order: Order, units: Units) -> Advanced:
    """Some units will not ship: they are released and refunded, the order goes on."""
    order, refunds, incidents = ask_back_units(order, units, "units cancelled")
    order = move_units(order, units, "cancelled")
    order, release = _release(order, units)
    refund = money(order, sum(refund.amount.amount_minor for refund in refunds))
    order = order.with_progress(withdrawn=minus(order.progress.withdrawn, units))
    said = events.OrderPartiallyCancelled(order.number, units, refund)
    return Advanced(order, (release, *refunds, said), incidents)


def _release(order: Order, units: Units) -> tuple[Order, events.StockReleaseRequested]:
    count = sum(":release:" in request for request in order.progress.asked)
    request_id = f"{order.order_id}:release:{count + 1}"
    return order.asking(request_id), events.StockReleaseRequested(request_id, order.round, units)


def _ended(order: Order) -> Order:
    """Cancellation NONE again; its number stays, so that the next one has a new id, and its cause is remembered."""
    reason = order.cancellation.reason
    refused = order.progress.refused
    if reason and reason not in refused and reason not in REQUESTED_BY_PEOPLE:
        refused = (*refused, reason)
    none = Cancellation(number=order.cancellation.number)
    return replace(order, cancellation=none, progress=replace(order.progress, refused=refused))
