"""How answers of inventory move the stock column.

Only an answer to a request of the present round counts; whatever comes after the order ended is late (S-30).
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain import facts
from services.orders.domain.decision import Folded, Incident
from services.orders.domain.fold_payments import answered
from services.orders.domain.order import Order
from services.orders.domain.states import CancellationState, OrderState, Outcome, StockState
from services.orders.domain.units import move_units


def fold_stock(order: Order, fact: facts.StockFact) -> Folded:
    """Move the stock column, or say that the answer is late or cannot be."""
    match fact:
        case facts.StockCommitted():
            return _commit(order, fact, StockState.COMMITTED)
        case facts.StockUnavailable():
            if not fact.request_id:
                return _hold_lost(order)
            return _commit(order, fact, StockState.UNAVAILABLE)
        case facts.StockReleased():
            return _released(order, fact)
        case _:
            return _noted(order, fact)


def _commit(order: Order, fact: facts.StockCommitted | facts.StockUnavailable, state: StockState) -> Folded:
    if not was_asked_in_any_round(order, fact.request_id, "commit"):
        return _contradiction(order, fact)
    if fact.request_id != order.commit_id or order.cancellation.state is CancellationState.DONE:
        return Folded(order, Outcome.STALE)
    if order.stock is state:
        return Folded(order, Outcome.STALE)
    if order.stock is StockState.COMMITTED:
        return _contradiction(order, fact)
    return Folded(replace(answered(order, fact.request_id), stock=state), Outcome.APPLIED)


def _hold_lost(order: Order) -> Folded:
    """The hold lapsed and could not be had again (S-7); once a commit is asked, only its answer counts."""
    waits = order.state is OrderState.PENDING and order.round == 1 and order.stock is StockState.NONE
    if not waits or order.was_asked(order.commit_id):
        return Folded(order, Outcome.STALE)
    return Folded(replace(order, stock=StockState.UNAVAILABLE), Outcome.APPLIED)


def _released(order: Order, fact: facts.StockReleased) -> Folded:
    """An unasked release is a tentative hold that lapsed: orders ignores it (S-1)."""
    if not fact.request_id or fact.request_id in order.progress.answered:
        return Folded(order, Outcome.STALE)
    if not order.was_asked(fact.request_id):
        return _contradiction(order, fact)
    order = answered(order, fact.request_id)
    if fact.round == order.round:
        order = move_units(order, fact.lines, "released")
    return Folded(order, Outcome.APPLIED)


def _noted(order: Order, fact: facts.StockFact) -> Folded:
    if fact.request_id in order.progress.answered:
        return Folded(order, Outcome.STALE)
    if not order.was_asked(fact.request_id):
        return _contradiction(order, fact)
    return Folded(answered(order, fact.request_id), Outcome.APPLIED)


def was_asked_in_any_round(order: Order, request_id: str, kind: str) -> bool:
    """True for a request of this kind that the order made in this round or an earlier one."""
    return request_id.startswith(f"{order.order_id}:{kind}:") and order.was_asked(request_id)


def _contradiction(order: Order, fact: facts.StockFact) -> Folded:
    incident = Incident("contradiction", f"{type(fact).__name__} {fact.request_id}")
    return Folded(order, Outcome.CONTRADICTION, (incident,))
