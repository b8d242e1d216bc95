"""Closing a payable: end every attempt at the provider, wait, and answer each cancellation exactly once (S-9).

Why: an answer given while a create, capture or cancel is still under way would be a guess about money.
"""

from __future__ import annotations

from dataclasses import replace

from . import events as said
from .draft import Draft, OperationPlan, Outcome
from .inputs import CancelPayment
from .payable import Attempt, Cancellation
from .states import AttemptState, Kind

# F-7: what can be cancelled (an intent) or expired (an open session). One in PROCESSING is asked again instead.
ENDABLE = frozenset({AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION, AttemptState.AUTHORIZED})
_BLOCKING = frozenset({Kind.CREATE, Kind.CANCEL, Kind.CAPTURE})


def cancel(draft: Draft, command: CancelPayment) -> None:
    """Close the payable at once; `end_attempts` and `settle` do the rest."""
    if any(c.id == command.cancellation_id for c in draft.payable.cancellations):
        draft.outcome = Outcome.STALE
        return
    cancellation = Cancellation(command.cancellation_id, draft.now)
    draft.change(closed=True, cancellations=(*draft.payable.cancellations, cancellation))


def end_attempts(draft: Draft) -> None:
    """Plan the end of every attempt that must end and can: nobody shall pay what is closed, or paid already."""
    for attempt in draft.payable.attempts:
        must_end = draft.payable.closed or draft.payable.succeeded or attempt.orphan
        if must_end and attempt.state in ENDABLE and attempt.object_id and not draft.payable.busy(attempt.id):
            _plan_end(draft, attempt)


def settle(draft: Draft) -> None:
    """Answer what waits, once nothing is under way and every attempt has ended at the provider."""
    payable = draft.payable
    if not payable.waiting:
        return
    if any(o.kind in _BLOCKING for o in payable.operations) or not all(a.ended for a in payable.attempts):
        return
    outcome = "MONEY_TAKEN" if payable.money_came else "NOTHING_TAKEN"
    for cancellation in payable.waiting:
        draft.say(said.PaymentCancellationSettled(cancellation.id, outcome))
    # Where money came, what is to be asked may be its refunds; where none came, nothing is left to ask about.
    look_at = payable.look_at if payable.money_came else None
    draft.change(cancellations=tuple(replace(c, settled=True) for c in payable.cancellations), look_at=look_at)


def wait(draft: Draft, *, provider_spoke: bool) -> None:
    """Inform about what waits, have the provider asked again, and raise what waits too long."""
    payable = draft.payable
    if not payable.waiting:
        return
    processing = any(a.state is AttemptState.PROCESSING for a in payable.attempts)
    draft.look(draft.now if processing and provider_spoke else draft.now + draft.rules.ask_again)
    for cancellation in payable.waiting:
        age = draft.now - cancellation.requested_at
        if not cancellation.delayed and (processing or age >= draft.rules.ask_again):
            draft.say(said.PaymentCancellationDelayed(cancellation.id))
            cancellation = replace(cancellation, delayed=True)
        if not cancellation.overdue and age >= draft.rules.overdue:
            draft.raise_incident("cancellation_overdue", cancellation.id, order=payable.order_id)
            cancellation = replace(cancellation, overdue=True)
        draft.change(
            cancellations=tuple(cancellation if c.id == cancellation.id else c for c in draft.payable.cancellations)
        )


def _plan_end(draft: Draft, attempt: Attempt) -> None:
    draft.put(replace(attempt, cancels=attempt.cancels + 1))
    number = sum(a.cancels for a in draft.payable.attempts)
    # F-7: an open session is expired; one that was paid is over, and what it authorised is released by its intent.
    object_id = attempt.payment_id if attempt.state is AttemptState.AUTHORIZED else attempt.object_id
    draft.plan(OperationPlan(Kind.CANCEL, number, attempt.id, attempt.flow, object_id or attempt.object_id))
