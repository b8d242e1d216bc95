"""Sums over an order's money: what was asked back, what is still kept, what units are worth.

Whole minor units only; rounding is down and on running sums, so that parts never exceed the whole.
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain.decision import Incident
from services.orders.domain.events import RefundRequested
from services.orders.domain.order import Excess, Money, Order, Refund, Units
from services.orders.domain.states import DisputeState, RefundState


def money(order: Order, amount_minor: int) -> Money:
    """An amount in the order's currency."""
    return Money(amount_minor, order.currency)


def asked_back(order: Order) -> int:
    """What is still to go back for refunds that orders asked for; a failed one stays due.

    What is under way at the provider in place of a failed one is still to go back, too.
    """
    under_way = (each for each in order.progress.given_back if each.state is RefundState.PENDING)
    return sum(due_back(order).values()) + sum(each.used_minor for each in under_way)


def due_back(order: Order, *, under_way: bool = False) -> dict[str, int]:
    """What is still to come of each refund that did not succeed, by its id; those in the order's currency.

    A failed one is due less what was given back at the provider since it first failed, for a person did it there, and
    at most what is left: it may have failed because somebody there was faster. With `under_way`, what is still under
    way there counts as given back.
    """
    waiting = [
        each
        for each in order.progress.refunds
        if each.state is not RefundState.SUCCEEDED and each.currency == order.currency
    ]
    due = {each.refund_id: each.amount_minor for each in waiting}
    for (_, refund_id), part in _paid_elsewhere(order, under_way=under_way).items():
        due[refund_id] -= part
    left = order.payment.captured_minor - order.payment.refunded_minor - disputed(order)
    if under_way:
        left -= sum(each.amount_minor for each in _made_elsewhere(order) if each.state is RefundState.PENDING)
    over = sum(due.values()) - max(0, left)
    for each in waiting:
        if each.state is RefundState.FAILED:
            part = max(0, min(over, due[each.refund_id]))
            due[each.refund_id] -= part
            over -= part
    return due


def owed(order: Order, refund: Refund) -> Money:
    """What is to be asked for again of one refund, in its currency."""
    due = due_back(order, under_way=True)
    return Money(due.get(refund.refund_id, refund.amount_minor), refund.currency)


def owe_again(order: Order, given: Refund, version: int) -> Order:
    """A refund made at the provider came to nothing: what it was used for is due, as a refund of ours that failed."""
    if not given.used_minor:
        return order
    given_back = tuple(
        replace(each, used_minor=0) if each.refund_id == given.refund_id else each for each in order.progress.given_back
    )
    failed = replace(given, object_id="", version=version, since=version)
    return _still_due(order.with_progress(given_back=given_back), failed, given.used_minor)


def first_told(refund: Refund) -> int:
    """Its `since`; of one that was stored without it, its newest version."""
    return refund.since or refund.version


def disputed(order: Order, held: tuple[DisputeState, ...] = (DisputeState.OPEN, DisputeState.LOST)) -> int:
    """Money that a bank keeps: open and lost disputes (S-18)."""
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
    return _worth(order, units, kept(order))


def _worth(order: Order, units: Units, rest: int) -> int:
    before = {line.line: line.cancelled + line.returned for line in order.lines}
    after = dict(before)
    for unit in units:
        after[unit.line] = after.get(unit.line, 0) + unit.quantity
    if all(after[line.line] >= line.ordered for line in order.lines):
        return rest
    return min(rest, value_of(order, after) - value_of(order, before))


def can_move(order: Order, amount_minor: int) -> bool:
    """False for as little as was asked for before and was too little for the provider: nothing of it went back."""
    unmoved = (each for each in order.progress.refunds if each.state is RefundState.SUCCEEDED and not each.amount_minor)
    return amount_minor > max((each.asked_minor for each in unmoved), default=0)


def ask_back(order: Order, amount_minor: int, reason: str) -> tuple[Order, tuple[RefundRequested, ...]]:
    """Ask for a refund of at most what is kept; nothing is asked when that is nothing."""
    return _ask(order, money(order, min(amount_minor, kept(order))), "", reason)


def ask_back_units(
    order: Order, units: Units, reason: str
) -> tuple[Order, tuple[RefundRequested, ...], tuple[Incident, ...]]:
    """Ask for what `units` are worth; what an open dispute keeps of it is due once it is won, like one that failed."""
    paid = order.payment
    if_won = paid.captured_minor - paid.refunded_minor - asked_back(order) - disputed(order, (DisputeState.LOST,))
    amount = worth(order, units)
    withheld = _worth(order, units, max(0, if_won)) - amount
    order, refunds = ask_back(order, amount, reason)
    if withheld <= 0:
        return order, refunds, ()
    refund_id = _next_id(order)
    failed = Refund(refund_id, withheld, order.currency, state=RefundState.FAILED, version=paid.version)
    return _still_due(order, failed, withheld), refunds, (Incident("refund_failed", refund_id),)


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
        since=first_told(refund),
    )
    refunds = tuple(asked if each is refund else each for each in order.progress.refunds)
    # What was paid of it elsewhere is spent: it must not stand for another failed refund as well.
    parts = _paid_elsewhere(order, under_way=True)
    given_back = tuple(
        replace(each, used_minor=each.used_minor + parts.get((each.refund_id, refund_id), 0))
        for each in order.progress.given_back
    )
    request = RefundRequested(refund_id, amount, refund.object_id, "asked for again")
    order = order.with_progress(refunds=refunds, given_back=given_back)
    # What is not left now may come back: a dispute is won, a refund under way at the provider fails.
    rest = (
        refund.amount_minor - amount.amount_minor - sum(part for (_, ours), part in parts.items() if ours == refund_id)
    )
    return _still_due(order, refund, rest), request


def _still_due(order: Order, failed: Refund, amount_minor: int) -> Order:
    """A part of a failed refund that goes its own way, as one more that failed."""
    if amount_minor <= 0:
        return order
    part = replace(failed, refund_id=_next_id(order), amount_minor=amount_minor, asked_minor=amount_minor, used_minor=0)
    return order.with_progress(refunds=(*order.progress.refunds, replace(part, since=first_told(failed))))


def _made_elsewhere(order: Order) -> list[Refund]:
    return [each for each in order.progress.given_back if each.currency == order.currency]


def _paid_elsewhere(order: Order, *, under_way: bool) -> dict[tuple[str, str], int]:
    """How much of each refund made at the provider stands for each failed one, by both ids.

    One stands for those that had failed before it was first told of, the oldest first, with what no retry has used.
    """
    counted = (RefundState.SUCCEEDED, RefundState.PENDING) if under_way else (RefundState.SUCCEEDED,)
    failed = [
        each for each in order.progress.refunds if each.state is RefundState.FAILED and each.currency == order.currency
    ]
    unpaid = {each.refund_id: each.amount_minor for each in failed}
    parts: dict[tuple[str, str], int] = {}
    for given in _made_elsewhere(order):
        rest = given.amount_minor - given.used_minor
        for each in failed:
            if given.state in counted and first_told(each) < first_told(given):
                part = max(0, min(rest, unpaid[each.refund_id]))
                parts[given.refund_id, each.refund_id] = part
                unpaid[each.refund_id] -= part
                rest -= part
    return parts


def _ask(order: Order, amount: Money, object_id: str, reason: str) -> tuple[Order, tuple[RefundRequested, ...]]:
    if amount.amount_minor <= 0:
        return order, ()
    refund_id = _next_id(order)
    refund = Refund(refund_id, amount.amount_minor, amount.currency, object_id, asked_minor=amount.amount_minor)
    asked = order.with_progress(refunds=(*order.progress.refunds, refund))
    return asked, (RefundRequested(refund_id, amount, object_id, reason),)


def _next_id(order: Order) -> str:
    return f"{order.order_id}:refund:{len(order.progress.refunds) + 1}"
