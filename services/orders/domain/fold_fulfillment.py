"""How answers of fulfillment move the fulfilment column, the parcels and the returns.

A parcel that left is a fact whatever orders wished: what cannot be true is an incident, never dropped in silence.
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain import facts
from services.orders.domain.decision import Folded, Incident
from services.orders.domain.fold_payments import answered, was_cancellation
from services.orders.domain.order import Order, Units
from services.orders.domain.states import (
    CancellationState,
    FulfillmentState,
    HoldState,
    Outcome,
    ReturnState,
)
from services.orders.domain.units import cancelled_units, common, minus, plus, quantities, returnable

WAITING = frozenset({FulfillmentState.HELD, FulfillmentState.FAILED})


def fold_fulfillment(order: Order, fact: facts.FulfillmentFact) -> Folded:
    """Move the fulfilment column, or say that the answer is late or cannot be."""
    match fact:
        case facts.FulfillmentSubmitted():
            return _submitted(order, fact)
        case facts.FulfillmentFailed():
            return _failed(order, fact)
        case facts.FulfillmentCancelled() if not fact.cancellation_id:
            return _withdrawn(order, fact)
        case facts.FulfillmentCancelled():
            return _cancellation(order, fact, fact.cancelled, fact.not_stoppable)
        case facts.FulfillmentCancellationRefused():
            return _cancellation(order, fact, (), order.open_units)
        case facts.FulfillmentHeld() | facts.FulfillmentHoldRefused() | facts.FulfillmentResumed():
            return _hold(order, fact)
        case facts.ReturnFact():
            return _return(order, fact)
        case _:
            return contradiction(order, fact)


def _submitted(order: Order, fact: facts.FulfillmentSubmitted) -> Folded:
    if not order.was_asked(fact.request_id):
        return contradiction(order, fact)
    if fact.request_id != order.fulfillment_id or order.progress.submitted:
        if order.fulfillment is FulfillmentState.FAILED and fact.request_id == order.fulfillment_id:
            return Folded(replace(order, fulfillment=FulfillmentState.SUBMITTED), Outcome.APPLIED)
        return Folded(order, Outcome.STALE)
    if order.cancellation.state is CancellationState.DONE or order.fulfillment is FulfillmentState.CANCELLED:
        return contradiction(order, fact)
    order = answered(order, fact.request_id).with_progress(submitted=True)
    return Folded(replace(order, fulfillment=FulfillmentState.SUBMITTED), Outcome.APPLIED)


def _failed(order: Order, fact: facts.FulfillmentFailed) -> Folded:
    """Named units are given up for good; without names the provider refused, or tries ran out, for all of them."""
    if not order.was_asked(fact.request_id):
        return contradiction(order, fact)
    ended = order.cancellation.state is CancellationState.DONE or not order.open_units
    if fact.request_id != order.fulfillment_id or ended:
        return Folded(order, Outcome.STALE)
    incident = Incident("fulfillment_failed")  # fulfillment knows why: a provider's words may be long and name people
    if fact.lines and minus(order.open_units, fact.lines):
        return _withdraw(order, fact.lines, incident)
    if order.fulfillment is FulfillmentState.FAILED:
        return Folded(order, Outcome.STALE)
    order = replace(answered(order, fact.request_id), fulfillment=FulfillmentState.FAILED)
    return Folded(order, Outcome.APPLIED, (incident,))


def _withdrawn(order: Order, fact: facts.FulfillmentCancelled) -> Folded:
    """The provider cancelled by itself: all units that will not ship, those cancelled before included."""
    if not order.was_asked(order.fulfillment_id):
        return contradiction(order, fact)
    if order.cancellation.state is CancellationState.DONE:
        return Folded(order, Outcome.STALE)
    units = minus(fact.cancelled, cancelled_units(order)) if fact.cancelled else order.open_units
    return _withdraw(order, units, Incident("cancelled_by_provider"))


def _withdraw(order: Order, units: Units, incident: Incident) -> Folded:
    more = minus(common(order.open_units, units), order.progress.withdrawn)
    if not more:
        return Folded(order, Outcome.STALE)
    withdrawn = plus(order.progress.withdrawn, more)
    order = order.with_progress(withdrawn=withdrawn)
    if not minus(order.open_units, withdrawn):
        order = replace(order, fulfillment=FulfillmentState.CANCELLED)
    return Folded(order, Outcome.APPLIED, (incident,))


def _cancellation(
    order: Order,
    fact: facts.FulfillmentCancelled | facts.FulfillmentCancellationRefused,
    cancelled: Units,
    not_stoppable: Units,
) -> Folded:
    """The one answer to a cancellation (S-10); only that to the one under way counts."""
    cancellation = order.cancellation
    if not was_cancellation(order, fact.cancellation_id):
        return contradiction(order, fact)
    current = fact.cancellation_id == order.cancellation_id and cancellation.state is CancellationState.REQUESTED
    if not current or cancellation.fulfillment_answered:
        return Folded(order, Outcome.STALE)
    if not cancellation.fulfillment_asked:
        return contradiction(order, fact)
    answer = replace(cancellation, fulfillment_answered=True, cancelled=cancelled, not_stoppable=not_stoppable)
    return Folded(replace(order, cancellation=answer), Outcome.APPLIED)


def _hold(
    order: Order, fact: facts.FulfillmentHeld | facts.FulfillmentHoldRefused | facts.FulfillmentResumed
) -> Folded:
    if fact.request_id:
        if not order.was_asked(fact.request_id):
            return contradiction(order, fact)
        if fact.request_id in order.progress.answered:
            return Folded(order, Outcome.STALE)
    elif not order.was_asked(order.fulfillment_id):
        return contradiction(order, fact)
    ended = order.cancellation.state is CancellationState.DONE or not order.open_units
    before, order = order, answered(order, fact.request_id)
    newest = fact.request_id == f"{order.order_id}:hold:{order.progress.holds}"
    match fact:
        case facts.FulfillmentHoldRefused():
            if newest and order.progress.hold is HoldState.ASKED:
                order = order.with_progress(hold=HoldState.REFUSED)
            return Folded(order, Outcome.APPLIED, (Incident("hold_refused", fact.request_id),))
        case facts.FulfillmentHeld() if not ended:
            if newest and order.progress.hold is HoldState.ASKED:
                order = order.with_progress(hold=HoldState.HELD)
            order = replace(order, fulfillment=FulfillmentState.HELD)
        case facts.FulfillmentResumed() if not ended and order.fulfillment in WAITING:
            now = FulfillmentState.SUBMITTED if order.progress.submitted else FulfillmentState.NONE
            order = replace(order, fulfillment=now)
    return Folded(order, Outcome.STALE if order == before else Outcome.APPLIED)


def _return(order: Order, fact: facts.ReturnFact) -> Folded:
    known = next((item for item in order.progress.returns if item.return_id == fact.return_id), None)
    if known is None:
        return contradiction(order, fact)
    state, lines = known.state, known.lines
    match fact:
        case facts.ReturnReceived():
            state, lines = ReturnState.RECEIVED, common(returnable(order), fact.lines)
        case facts.ReturnAccepted():
            state = ReturnState.ACCEPTED
        case facts.ReturnRefused():
            state = ReturnState.REFUSED
    late = known.state is ReturnState.RECEIVED or (known.state is state)
    if late or (state is not ReturnState.RECEIVED and known.state is not ReturnState.REQUESTED):
        return Folded(order, Outcome.STALE)
    more = isinstance(fact, facts.ReturnReceived) and quantities(lines) != quantities(fact.lines)
    incidents = (Incident("return_differs", fact.return_id),) if more else ()
    changed = replace(known, state=state, lines=lines)
    returns = tuple(changed if item is known else item for item in order.progress.returns)
    return Folded(order.with_progress(returns=returns), Outcome.APPLIED, incidents)


def contradiction(order: Order, fact: facts.Fact, subject: str = "") -> Folded:
    """What cannot be true: the order stays as it is and a person must look."""
    incident = Incident("contradiction", f"{type(fact).__name__} {subject}".strip())
    return Folded(order, Outcome.CONTRADICTION, (incident,))
