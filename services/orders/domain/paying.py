"""The rules of the saga that look at the payment column.

Orders decides on every refund (S-18) and on what money means for the order; payments only says what happened.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.orders.domain import events
from services.orders.domain.cancelling import begin_once
from services.orders.domain.decision import Advanced, Incident, move
from services.orders.domain.money import ask_back, ask_back_excess, can_move, kept, money
from services.orders.domain.order import Cancellation, Order
from services.orders.domain.policies import PaymentFailurePolicy, Policies
from services.orders.domain.states import (
    CancellationReason,
    CancellationState,
    FulfillmentState,
    OrderState,
    PaymentVerdict,
    StockState,
)
from services.orders.domain.units import with_customer

BEFORE_SHIPPING = frozenset({OrderState.PENDING, OrderState.CONFIRMED, OrderState.PROCESSING})
AFTER_CONFIRMING = frozenset({OrderState.CONFIRMED, OrderState.PROCESSING, OrderState.SHIPPED, OrderState.DELIVERED})
WITHOUT_GOODS = frozenset({OrderState.CANCELLED, OrderState.REFUNDED})


def excess_money(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Money beyond what is due goes back to where it came from (S-14)."""
    excess = next((item for item in order.progress.excesses if not item.asked), None)
    if excess is None:
        return None
    order, refunds = ask_back_excess(order, excess)
    excesses = tuple(replace(item, asked=True) if item is excess else item for item in order.progress.excesses)
    incident = Incident("excess_money", excess.object_id)
    return Advanced(order.with_progress(excesses=excesses), refunds, (incident,))


def dispute_lost(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The bank took the money back: what has not shipped must not ship."""
    if not order.dispute_lost or not order.open_units:
        return None
    if order.state not in BEFORE_SHIPPING and order.state is not OrderState.SHIPPED:
        return None
    return begin_once(order, now, CancellationReason.DISPUTE_LOST, "payments")


def refunded_elsewhere(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """All money went back while units are still here: stop them first (R-1.12)."""
    if not order.is_refunded or not order.open_units:
        return None
    if order.state not in BEFORE_SHIPPING and order.state is not OrderState.SHIPPED:
        return None
    return begin_once(order, now, CancellationReason.REFUNDED, "payments")


def attempt_made(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The deadline runs from the last attempt to pay (R-2.12)."""
    last = order.progress.last_attempt_at
    if order.state is not OrderState.PENDING or last is None or last + policies.payable_for <= order.payable_until:
        return None
    return Advanced(replace(order, payable_until=last + policies.payable_for))


def paid(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Paid or authorized in full: confirm, and ask for the stock."""
    if order.state is not OrderState.PENDING or not (order.is_paid or order.is_authorized):
        return None
    confirmed = move(
        order.asking(order.commit_id),
        OrderState.CONFIRMED,
        "payments",
        "paid" if order.is_paid else "authorized",
        stock=StockState.NONE,
    )
    total = money(order, order.total_minor)
    return replace(
        confirmed,
        events=(
            events.OrderConfirmed(order.number, order.cart_id, total),
            events.StockCommitRequested(order.commit_id, order.round, order.open_units),
        ),
    )


def payment_failed(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Each failure is told once; the shop's policy says whether it ends the order (R-2.9)."""
    told = order.progress.failed_version <= order.progress.told_failed_version
    if order.state is not OrderState.PENDING or order.payment.verdict is not PaymentVerdict.FAILED or told:
        return None
    order = order.with_progress(told_failed_version=order.progress.failed_version)
    if policies.payment_failure is PaymentFailurePolicy.CANCEL:
        return begin_once(order, now, CancellationReason.PAYMENT_FAILED, "payments") or Advanced(order)
    return Advanced(order, (events.OrderPaymentFailed(order.number, order.payable_until),))


def lapsed(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Nobody paid in time. A share that came is given back; money that differs waits for a person (S-17)."""
    waits_for_a_person = order.payment.captured_minor > 0 and order.payment.verdict is PaymentVerdict.MISMATCHED
    if order.state is not OrderState.PENDING or now < order.payable_until or waits_for_a_person:
        return None
    return begin_once(order, now, CancellationReason.EXPIRED, "time")


def payment_lost(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The authorisation is gone or its capture failed, whatever the stock."""
    if order.state is not OrderState.CONFIRMED or order.is_paid:
        return None
    ended = (PaymentVerdict.UNPAID, PaymentVerdict.FAILED, PaymentVerdict.CANCELED)
    if not order.progress.capture_failed and order.payment.verdict not in ended:
        return None
    return begin_once(order, now, CancellationReason.PAYMENT_FAILED, "payments")


def capture(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Stock is committed: take the money that is only authorized (R-1.21)."""
    wanted = order.state is OrderState.CONFIRMED and order.stock is StockState.COMMITTED and order.is_authorized
    if not wanted or order.is_paid or order.was_asked(order.capture_id):
        return None
    amount = money(order, order.total_minor - order.payment.captured_minor)
    return Advanced(order.asking(order.capture_id), (events.PaymentCaptureRequested(order.capture_id, amount),))


def refunded(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Money that went back: all of it ends the order, a part is told."""
    given_back = order.payment.refunded_minor
    if order.state not in AFTER_CONFIRMING or given_back == order.progress.told_refunded_minor:
        return None
    said = money(order, given_back)
    told = order.with_progress(told_refunded_minor=given_back)
    if not order.is_refunded:
        grew = given_back > order.progress.told_refunded_minor
        return Advanced(told, (events.OrderPartiallyRefunded(order.number, said),) if grew else ())
    if order.open_units or order.state not in (OrderState.SHIPPED, OrderState.DELIVERED):
        return None
    kept_by_customer = (Incident("refunded_without_return"),) if with_customer(order) else ()
    ended = move(told, OrderState.REFUNDED, "payments", "refunded", progress=replace(told.progress, ended_at=now))
    return replace(ended, events=(events.OrderRefunded(order.number, said),), incidents=kept_by_customer)


def late_money(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Money that came after the end: an expired order begins again, any other gives it back (R-1.16)."""
    rest = kept(order)
    ended = order.state
    if ended is OrderState.ARCHIVED and order.progress.archived_from is not None:
        ended = order.progress.archived_from
    if ended not in WITHOUT_GOODS or not can_move(order, rest):
        return None
    expired = order.cancellation.reason is CancellationReason.EXPIRED
    if order.state is OrderState.CANCELLED and expired and order.is_paid and rest >= order.total_minor:
        return _reopen(order)
    order, refunds = ask_back(order, rest, "money came after the end")
    return Advanced(order, refunds, (Incident("late_money"),))


def _reopen(order: Order) -> Advanced:
    """A new round: nothing is asked yet, and answers to the old one are late (S-2)."""
    order = replace(
        order,
        round=order.round + 1,
        cancellation=Cancellation(state=CancellationState.NONE, number=order.cancellation.number),
        stock=StockState.NONE,
        fulfillment=FulfillmentState.NONE,
        lines=tuple(replace(line, cancelled=0, released=0) for line in order.lines),
        progress=replace(order.progress, refused=(), capture_failed=False, ended_at=None),
    )
    reopened = move(order.asking(order.commit_id), OrderState.CONFIRMED, "payments", "paid after it expired")
    return replace(
        reopened,
        events=(
            events.OrderReopened(order.number, order.round),
            events.StockCommitRequested(order.commit_id, order.round, order.open_units),
        ),
        incidents=(Incident("late_money"),),
    )
