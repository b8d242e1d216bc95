"""Sums over an order's money: what was asked back, what is still kept, what units are worth.

Whole minor units only; rounding is down and on running sums, so that parts never exceed the whole.
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain.events import RefundRequested
from services.orders.domain.order import Excess, Money, Order, Refund, Units
from services.orders.domain.states import DisputeState, RefundState


def money(order: Order, amount_minor: int) -> Money:
    """An amount in the order's currency."""
    return Money(amount_minor, order.currency)


def asked_back(order: Order) -> int:
    """Refunds that orders asked for and that are not in `refunded` yet; a failed one stays due."""
    return sum(due_back(order).values())


def due_back(order: Order) -> dict[str, int]:
    """What is still to come of each refund that did not succeed, by its id; those in the order's currency.

    A failed one is due less what was given back at the provider since it failed, for a person did it there, and at
    most what is left: it may have failed because somebody there was faster.
    """
    waiting = [
        each
        for each in order.progress.refunds
        if each.state is not RefundState.SUCCEEDED and each.currency == order.currency
    ]
    due = {each.refund_id: each.amount_minor for each in waiting}
    failed = [each for each in waiting if each.state is RefundState.FAILED]
    for given in order.progress.given_back:
        if given.state is RefundState.SUCCEEDED and given.currency == order.currency:
            _reduce(due, [each for each in failed if each.version < given.version], given.amount_minor)
    left = order.payment.captured_minor - order.payment.refunded_minor - disputed(order)
    _reduce(due, failed, sum(due.values()) - max(0, left))
    return due


def owed(order: Order, refund: Refund) -> Money:
    """What is still due of one refund, in its currency."""
    return Money(due_back(order).get(refund.refund_id, refund.amount_minor), refund.currency)


def disputed(order: Order) -> int:
    """Money that a bank keeps: open and lost disputes (S-18)."""
    held = (DisputeState.OPEN, DisputeState.LOST)
    known = [dispute.amount_minor for dispute in order.progress.disputes if dispute.state in held]
    if not known and order.payment.dispute in held:
        return order.payment.captured_minor
    return sum(known)


def kept(order: Order) -> int:
    """Captured money that is neither given back, asked back nor disputed; never negative."""
    paid = order.payment
    return max(0, paid.captured_minor - paid.refunded_minor - asked_back(order) - disputed(order))


def value_of(order: Order, gone: dict[int, int]) -> int:
    """What the customer need not pay when `gone` units (by line) are cancelled or returned.

    Goods count by their price, with their share of the adjustments; shipping comes back with the last unit.
    """
    if all(gone.get(line.line, 0) >= line.ordered for line in order.lines):
        return order.total_minor
    if order.subtotal_minor <= 0:
        return 0
    goods = sum(line.unit_price_minor * min(gone.get(line.line, 0), line.ordered) for line in order.lines)
    return max(0, goods * (order.subtotal_minor + order.adjustments_minor) // order.subtotal_minor)


def worth(order: Order, units: Units) -> int:
    """What `units` add to the units that are gone already, capped by what is kept.

    The last unit brings all that is kept: with it goes what the provider had no unit for when earlier ones went (F-12).
    """
    before = {line.line: line.cancelled + line.returned for line in order.lines}
    after = dict(before)
    for unit in units:
        after[unit.line] = after.get(unit.line, 0) + unit.quantity
    if all(after[line.line] >= line.ordered for line in order.lines):
        return kept(order)
    return min(kept(order), value_of(order, after) - value_of(order, before))


def can_move(order: Order, amount_minor: int) -> bool:
    """False for as little as was asked for before and was too little for the provider: nothing of it went back."""
    unmoved = (each for each in order.progress.refunds if each.state is RefundState.SUCCEEDED and not each.amount_minor)
    return amount_minor > max((each.asked_minor for each in unmoved), default=0)


def ask_back(order: Order, amount_minor: int, reason: str) -> tuple[Order, tuple[RefundRequested, ...]]:
    """Ask for a refund of at most what is kept; nothing is asked when that is nothing."""
    return _ask(order, money(order, min(amount_minor, kept(order))), "", reason)


def ask_back_excess(order: Order, excess: Excess) -> tuple[Order, tuple[RefundRequested, ...]]:
    """Ask for a refund from one capture; money in a foreign currency is not among what is kept."""
    amount = excess.amount
    if amount.currency == order.currency:
        amount = money(order, min(amount.amount_minor, kept(order)))
    return _ask(order, amount, excess.object_id, "more than due")


def ask_again(order: Order, refund_id: str) -> tuple[Order, RefundRequested | None]:
    """Ask anew for what is still due of a refund that failed; None where nothing is."""
    refund = next((each for each in order.progress.refunds if each.refund_id == refund_id), None)
    if refund is None or refund.state is not RefundState.FAILED:
        return order, None
    amount = owed(order, refund)
    if amount.amount_minor <= 0:
        return order, None
    # The next version, so that the old failure, told once more, does not end the new try.
    asked = replace(
        refund,
        amount_minor=amount.amount_minor,
        asked_minor=amount.amount_minor,
        state=RefundState.ASKED,
        version=refund.version + 1,
    )
    refunds = tuple(asked if each is refund else each for each in order.progress.refunds)
    request = RefundRequested(refund_id, amount, refund.object_id, "asked for again")
    return order.with_progress(refunds=refunds), request


def _reduce(due: dict[str, int], refunds: list[Refund], amount: int) -> None:
    for refund in refunds:
        part = max(0, min(amount, due[refund.refund_id]))
        due[refund.refund_id] -= part
        amount -= part


def _ask(order: Order, amount: Money, object_id: str, reason: str) -> tuple[Order, tuple[RefundRequested, ...]]:
    if amount.amount_minor <= 0:
        return order, ()
    refund_id = f"{order.order_id}:refund:{len(order.progress.refunds) + 1}"
    refund = Refund(refund_id, amount.amount_minor, amount.currency, object_id, asked_minor=amount.amount_minor)
    asked = order.with_progress(refunds=(*order.progress.refunds, refund))
    return asked, (RefundRequested(refund_id, amount, object_id, reason),)
