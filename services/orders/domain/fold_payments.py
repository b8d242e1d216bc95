"""How facts of payments move the payment column and what is remembered beside it.

The column is the snapshot of the highest version; what has an id of its own (refund, dispute, excess, answer) is kept
by id, so that every permutation and every repetition of the same facts ends in the same order (R-1.14).
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain import facts
from services.orders.domain.decision import Folded, Incident
from services.orders.domain.money import first_told, owe_again
from services.orders.domain.order import Dispute, Excess, Order, Payment, Refund
from services.orders.domain.states import (
    CancellationState,
    DisputeState,
    OrderState,
    Outcome,
    PaymentVerdict,
    RefundState,
)

REFUND_STATES = {
    facts.RefundPending: RefundState.PENDING,
    facts.RefundSucceeded: RefundState.SUCCEEDED,
    facts.RefundFailed: RefundState.FAILED,
}


def fold_payment(order: Order, fact: facts.PaymentFact) -> Folded:
    """Move the payment column, then what the kind of fact says beside it."""
    moved, incidents = _column(order, fact)
    contradiction = False
    match fact:
        case facts.RefundPending() | facts.RefundSucceeded() | facts.RefundFailed():
            moved, more, contradiction = _refund(moved, fact)
        case facts.DisputeOpened() | facts.DisputeClosed():
            moved, more = _dispute(moved, fact)
        case facts.PaymentExcessReceived():
            moved, more = _excess(moved, fact), ()
        case facts.PaymentCancellationSettled() | facts.PaymentCancellationDelayed():
            moved, more, contradiction = _cancellation(moved, fact)
        case facts.PaymentCaptureFailed():
            moved, more = _capture_failed(moved, fact), ()
        case facts.PaymentMismatched():
            late = fact.version < order.payment.version
            more = () if late else (Incident("payment_mismatched", fact.provider_object_id),)
        case facts.PaymentFailed() | facts.PaymentCreated():
            moved, more = _attempt(moved, fact), ()
        case _:
            more = ()
    if contradiction:
        return Folded(moved, Outcome.CONTRADICTION, incidents + more)
    return Folded(moved, Outcome.STALE if moved == order else Outcome.APPLIED, incidents + more)


def _column(order: Order, fact: facts.PaymentFact) -> tuple[Order, tuple[Incident, ...]]:
    if fact.version < order.payment.version:
        return order, ()
    said = fact.snapshot
    payment = Payment(
        verdict=said.verdict,
        due_minor=said.due_minor,
        currency=said.currency,
        authorized_minor=said.authorized_minor,
        captured_minor=said.captured_minor,
        refunded_minor=said.refunded_minor,
        refund_pending_minor=said.refund_pending_minor,
        currency_differs=said.currency_differs,
        dispute=said.dispute,
        version=fact.version,
    )
    if payment == order.payment:
        return order, ()
    before = order.payment
    differs = (payment.due_minor, payment.currency) != (order.total_minor, order.currency)
    known = (before.due_minor, before.currency) == (payment.due_minor, payment.currency) or not payment.currency
    incidents = (Incident("payable_differs"),) if differs and not known else ()
    return replace(order, payment=payment), incidents


def _refund(
    order: Order, fact: facts.RefundPending | facts.RefundSucceeded | facts.RefundFailed
) -> tuple[Order, tuple[Incident, ...], bool]:
    """A refund that orders asked for follows the newest fact about it: a succeeded one can still fail (F-8)."""
    state = REFUND_STATES[type(fact)]
    incidents = (Incident("refund_failed", fact.refund_id),) if state is RefundState.FAILED else ()
    if not fact.refund_id:
        return _given_back(order, fact, state), incidents if fact.version >= order.payment.version else (), False
    known = next((refund for refund in order.progress.refunds if refund.refund_id == fact.refund_id), None)
    if known is None:
        return order, (Incident("unknown_refund", fact.refund_id),), True
    if fact.version < known.version:
        return order, (), False
    newer = replace(
        known,
        state=state,
        amount_minor=fact.amount.amount_minor,
        version=fact.version,
        since=_failing_since(known, fact),
    )
    if newer == known:
        return order, (), False
    refunds = tuple(newer if refund is known else refund for refund in order.progress.refunds)
    return order.with_progress(refunds=refunds), incidents, False


def _failing_since(known: Refund, fact: facts.RefundPending | facts.RefundSucceeded | facts.RefundFailed) -> int:
    """Another try does not end a failure, for what is made at the provider meanwhile may stand for it; success does."""
    match fact:
        case facts.RefundSucceeded():
            return 0
        case facts.RefundFailed() if known.state is RefundState.FAILED:
            return first_told(known)
        case facts.RefundFailed():
            return known.since or fact.version
    return known.since


def _given_back(
    order: Order, fact: facts.RefundPending | facts.RefundSucceeded | facts.RefundFailed, state: RefundState
) -> Order:
    """Remember a refund made at the provider: it may be what a failed one of ours still owes."""
    amount = fact.amount
    new = Refund(fact.provider_refund_id, amount.amount_minor, amount.currency, state=state, version=fact.version)
    known = order.progress.given_back
    old = next((each for each in known if each.refund_id == new.refund_id), new)
    newest = replace(max(new, old, key=lambda each: each.version), used_minor=old.used_minor)
    newest = replace(newest, since=min(first_told(old), new.version))
    others = (each for each in known if each is not old)
    order = order.with_progress(given_back=tuple(sorted((*others, newest), key=first_told)))
    return owe_again(order, newest, fact.version) if newest.state is RefundState.FAILED else order


def _dispute(order: Order, fact: facts.DisputeOpened | facts.DisputeClosed) -> tuple[Order, tuple[Incident, ...]]:
    state = fact.outcome if isinstance(fact, facts.DisputeClosed) else DisputeState.OPEN
    known = next((item for item in order.progress.disputes if item.dispute_id == fact.dispute_id), None)
    if known is not None and (known.state is state or known.state is not DisputeState.OPEN):
        return order, ()
    dispute = Dispute(fact.dispute_id, fact.amount.amount_minor, state)
    others = tuple(item for item in order.progress.disputes if item.dispute_id != fact.dispute_id)
    told = {DisputeState.OPEN: "dispute_opened", DisputeState.LOST: "dispute_lost"}.get(state)
    incidents = (Incident(told, fact.dispute_id),) if told else ()
    disputes = tuple(sorted((*others, dispute), key=lambda item: item.dispute_id))
    return order.with_progress(disputes=disputes), incidents


def _excess(order: Order, fact: facts.PaymentExcessReceived) -> Order:
    if any(excess.object_id == fact.object_id for excess in order.progress.excesses):
        return order
    excess = Excess(fact.object_id, fact.amount)
    return order.with_progress(
        excesses=tuple(sorted((*order.progress.excesses, excess), key=lambda item: item.object_id))
    )


def _cancellation(
    order: Order, fact: facts.PaymentCancellationSettled | facts.PaymentCancellationDelayed
) -> tuple[Order, tuple[Incident, ...], bool]:
    """Only the answer to the cancellation under way counts; PaymentCancellationDelayed informs."""
    cancellation = order.cancellation
    if not was_cancellation(order, fact.cancellation_id):
        return order, (Incident("unknown_cancellation", fact.cancellation_id),), True
    current = fact.cancellation_id == order.cancellation_id and cancellation.state is CancellationState.REQUESTED
    if not current or cancellation.payment_answer or isinstance(fact, facts.PaymentCancellationDelayed):
        return order, (), False
    return replace(order, cancellation=replace(cancellation, payment_answer=fact.outcome)), (), False


def was_cancellation(order: Order, cancellation_id: str) -> bool:
    """True for the id of any cancellation that the order ever asked for."""
    prefix, _, number = cancellation_id.rpartition(":")
    ours = prefix == f"{order.order_id}:cancel" and number.isascii() and number.isdigit()
    return ours and 1 <= int(number) <= order.cancellation.number


def _capture_failed(order: Order, fact: facts.PaymentCaptureFailed) -> Order:
    if fact.request_id != order.capture_id or not order.was_asked(fact.request_id):
        return order
    return answered(order, fact.request_id).with_progress(capture_failed=True)


def _attempt(order: Order, fact: facts.PaymentFailed | facts.PaymentCreated) -> Order:
    """The deadline runs from the last attempt (R-2.12); a failure is told once, and never after a success."""
    if order.state is not OrderState.PENDING:
        return order
    last = order.progress.last_attempt_at
    if last is None or fact.occurred_at > last:
        order = order.with_progress(last_attempt_at=fact.occurred_at)
    failed = isinstance(fact, facts.PaymentFailed) and fact.snapshot.verdict is PaymentVerdict.FAILED
    if failed and fact.version > order.progress.failed_version:
        order = order.with_progress(failed_version=fact.version)
    return order


def answered(order: Order, request_id: str) -> Order:
    """The order, remembering that the request got its answer."""
    if request_id in order.progress.answered or not order.was_asked(request_id):
        return order
    return order.with_progress(answered=(*order.progress.answered, request_id))
