"""What people, callers and time may ask of an order; a refusal is a value.

Commands change the order first and leave the consequences to `advance()`, exactly as facts do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.orders.domain import cancelling, events, saga
from services.orders.domain.decision import Advanced, Folded, HistoryEntry, Refusal
from services.orders.domain.facts import Fact
from services.orders.domain.money import ask_again, money
from services.orders.domain.order import Cancellation, Order, Return, Units
from services.orders.domain.policies import Policies
from services.orders.domain.states import CancellationReason, CancellationState, OrderState, ReturnState, StockState
from services.orders.domain.units import minus, plus, returnable

LIVE = frozenset({OrderState.PENDING, OrderState.CONFIRMED, OrderState.PROCESSING, OrderState.SHIPPED})


def place(order: Order, now: datetime, policies: Policies) -> Advanced:
    """The first event and history entry of a new order, whose version is 1 (phase 3 of SAGA 3).

    An order that costs nothing goes on. One that is to be paid has heard of nobody yet: no rule would say anything.
    """
    created = events.OrderCreated(
        order.number,
        order.reservation,
        order.open_units,
        money(order, order.total_minor),
        order.payable_until,
    )
    entry = HistoryEntry(None, OrderState.PENDING, "customer", "placed")
    placed = Advanced(order, (created,), history=(entry,))
    return placed if order.total_minor else placed.then(saga.advance(order, now, policies))


def decide(order: Order, fact: Fact, now: datetime, policies: Policies) -> tuple[Folded, Advanced]:
    """Fold one fact and advance; the version grows by one if anything changed."""
    folded = saga.apply_fact(order, fact)
    advanced = saga.advance(folded.order, now, policies)
    result = Advanced(folded.order, incidents=folded.incidents).then(advanced)
    return folded, _numbered(order, result)


def tick(order: Order, now: datetime, policies: Policies) -> Advanced:
    """What time asks for: deadlines and ages."""
    return _numbered(order, saga.advance(order, now, policies))


def cancel(
    order: Order, reason: CancellationReason, actor: str, now: datetime, policies: Policies
) -> Advanced | Refusal:
    """A customer's or an operator's wish (S-8); repeating a wish under way changes nothing."""
    under_way = order.cancellation
    if under_way.state is CancellationState.REQUESTED or _expired(order):
        return _numbered(order, Advanced(_stronger(order, reason, actor)))
    if order.state not in LIVE or not order.open_units:
        return Refusal("NOT_CANCELLABLE", f"The order is {order.state} and has nothing left to cancel.")
    if reason is CancellationReason.CUSTOMER and _submitted(order):
        if under_way.state is CancellationState.PROPOSED:
            return Advanced(order)
        proposed = Cancellation(CancellationState.PROPOSED, under_way.number + 1, reason, actor, now)
        return _numbered(order, saga.advance(replace(order, cancellation=proposed), now, policies))
    return _go_on(order, cancelling.begin(order, now, reason, actor), now, policies)


def decide_cancellation(
    order: Order, approve: bool, actor: str, now: datetime, policies: Policies
) -> Advanced | Refusal:
    """An operator approves or declines what a customer proposed."""
    if order.cancellation.state is not CancellationState.PROPOSED:
        return Refusal("NOT_PROPOSED", "No cancellation of this order waits for a decision.")
    if not approve:
        return _go_on(order, cancelling.refuse(order), now, policies)
    reason = order.cancellation.reason or CancellationReason.CUSTOMER
    return _go_on(order, cancelling.begin(order, now, reason, actor), now, policies)


def archive(order: Order, actor: str) -> Advanced | Refusal:
    """Put an ended order away by hand."""
    if order.state not in saga.ENDED:
        return Refusal("NOT_ENDED", f"The order is {order.state}; only ended orders are archived.")
    return _numbered(order, saga.archive(order, actor, "by hand"))


def request_return(order: Order, return_id: str, lines: Units) -> Advanced | Refusal:
    """A customer wants to send goods back (S-21)."""
    if any(item.return_id == return_id for item in order.progress.returns):
        return Advanced(order)
    coming: Units = ()
    for item in order.progress.returns:
        if item.state in (ReturnState.REQUESTED, ReturnState.ACCEPTED):
            coming = plus(coming, item.lines)
    if not lines or minus(lines, minus(returnable(order), coming)):
        return Refusal("NOT_RETURNABLE", "Only units that left and are not on their way back can be returned.")
    asked = Return(return_id, ReturnState.REQUESTED, lines)
    order_asked = order.with_progress(returns=(*order.progress.returns, asked))
    return _numbered(order, Advanced(order_asked, (events.ReturnRequested(return_id, lines),)))


def retry_refund(order: Order, refund_id: str) -> Advanced | Refusal:
    """An operator has a refund that failed tried again; a second wish finds it asked for and is refused."""
    order_asked, request = ask_again(order, refund_id)
    if request is None:
        return Refusal("REFUND_NOT_DUE", "This refund is not one that failed and is still due.")
    return _numbered(order, Advanced(order_asked, (request,)))


def due_at(order: Order, policies: Policies, after: datetime | None = None) -> datetime | None:
    """When time next asks something of this order; None when it never does.

    With `after`, only what comes later: what was due by then had its say, and must not hide what is still to come.
    """
    times: list[datetime | None] = []
    cancellation = order.cancellation
    if order.stock is StockState.UNAVAILABLE and cancellation.state is CancellationState.NONE:
        times.extend([order.progress.backorder_until] if order.state is OrderState.CONFIRMED else [])
    if order.state is OrderState.PENDING and cancellation.state is CancellationState.NONE:
        times.append(order.payable_until)
    open_question = cancellation.state in (CancellationState.PROPOSED, CancellationState.REQUESTED)
    if open_question and not cancellation.alarmed and cancellation.asked_at is not None:
        times.append(cancellation.asked_at + policies.cancellation_alarm)
    if order.state in saga.ENDED and order.progress.ended_at is not None and policies.archive_after is not None:
        times.append(order.progress.ended_at + policies.archive_after)
    return min((time for time in times if time is not None and (after is None or time > after)), default=None)


def _go_on(order: Order, begun: Advanced, now: datetime, policies: Policies) -> Advanced:
    return _numbered(order, begun.then(saga.advance(begun.order, now, policies)))


def _submitted(order: Order) -> bool:
    return order.was_asked(order.fulfillment_id) and (order.progress.submitted or order.any_shipped)


def _expired(order: Order) -> bool:
    return order.state is OrderState.CANCELLED and order.cancellation.reason is CancellationReason.EXPIRED


def _stronger(order: Order, reason: CancellationReason, actor: str) -> Order:
    """A person's wish, and nothing else, replaces EXPIRED, so that money which comes late is given back (S-8)."""
    if order.cancellation.reason is not CancellationReason.EXPIRED or reason not in cancelling.REQUESTED_BY_PEOPLE:
        return order
    return replace(order, cancellation=replace(order.cancellation, reason=reason, actor=actor))


def _numbered(before: Order, result: Advanced) -> Advanced:
    """The version grows once per decision that changed or said anything."""
    if not result.events and result.order == before:
        return result
    order = replace(result.order, version=before.version + 1)
    return Advanced(order, result.events, result.incidents, result.history)
