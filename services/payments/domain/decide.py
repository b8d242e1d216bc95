"""`decide`: the one place where payments decides, for every cause and without any I/O.

Why: doors, jobs and the exhaustive model all drive this function, so what the model proves is what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from . import attempts, cancellation, refunds
from .draft import Decision, Draft, Outcome, Rules
from .inputs import (
    AttemptSeen,
    CancelPayment,
    CapturePayment,
    ChargeRefunded,
    CreatePayment,
    DisputeSeen,
    Input,
    OperationEnded,
    OrderPlaced,
    RefundSeen,
    RequestRefund,
    TimePassed,
)
from .money import succeed
from .payable import Operation, Payable
from .states import Kind
from .sums import snapshot

_RULES = Rules()
_parts = attrgetter(*(field.name for field in fields(Payable)))  # half the time of `replace`


def decide(payable: Payable, cause: Input, now: datetime, rules: Rules = _RULES) -> Decision:
    """What follows from one cause. `payable` is `Payable(order_id)` where the order is not known yet."""
    draft = Draft(Payable(*_parts(payable)), now, rules)
    _HANDLERS[type(cause)](draft, cause)
    if draft.refusal is None:
        if not _ended_in_vain(draft, cause):
            cancellation.end_attempts(draft)
        cancellation.settle(draft)
        cancellation.wait(draft, provider_spoke=isinstance(cause, AttemptSeen) and not cause.asked)
    changed = draft.payable != payable
    if changed or draft.events:
        draft.change(version=payable.version + max(1, len(draft.events)))
    return Decision(
        payable=draft.payable,
        snapshot=snapshot(draft.payable),
        events=tuple(draft.events),
        operations=tuple(draft.operations),
        incidents=tuple(draft.incidents),
        outcome=draft.outcome,
        refusal=draft.refusal,
        attempt_id=draft.attempt_id,
        changed=changed or bool(draft.events),
    )


def _place(draft: Draft, command: OrderPlaced) -> None:
    """Learn what is due; the first to say it fixes it, another amount is a contradiction."""
    due = draft.payable.due
    if due is None:
        draft.change(due=command.due)
        succeed(draft)
    elif due != command.due:
        draft.outcome = Outcome.CONTRADICTION
        draft.raise_incident(
            "due_differs",
            draft.payable.order_id,
            known=f"{due.amount_minor} {due.currency}",
            told=f"{command.due.amount_minor} {command.due.currency}",
        )
    else:
        draft.outcome = Outcome.STALE


def _operation_ended(draft: Draft, end: OperationEnded) -> None:
    """Free its target, let the kind say what a refusal means, then take in the object as the answer showed it."""
    if not draft.end_operation(end.operation_id):
        draft.outcome = Outcome.STALE
        return
    if end.kind is Kind.CREATE:
        if not isinstance(end.seen, AttemptSeen):
            attempts.create_ended(draft, end)
    elif end.kind is Kind.CAPTURE:
        attempts.capture_ended(draft, end)
    elif end.kind is Kind.REFUND:
        refunds.refund_ended(draft, end)
    if isinstance(end.seen, AttemptSeen):
        attempts.seen(draft, end.seen)
    elif isinstance(end.seen, RefundSeen):
        refunds.refund_seen(draft, end.seen)
    draft.outcome = Outcome.APPLIED


def _ended_in_vain(draft: Draft, cause: Input) -> bool:
    """A cancel that left its attempt alive is not repeated at once: the provider is asked first, later."""
    if not isinstance(cause, OperationEnded) or cause.kind is not Kind.CANCEL:
        return False
    attempt = draft.payable.attempt(cause.target_id)
    if cause.absent or attempt.ended:
        return False
    draft.look(draft.now + draft.rules.ask_again)
    if attempt.state in cancellation.ENDABLE:
        draft.raise_incident("attempt_not_ended", attempt.object_id, state=attempt.state, code=cause.code)
    return True


def _time_passed(draft: Draft, cause: TimePassed) -> None:
    """Nothing of its own: what follows a cause also follows time."""


_HANDLERS: dict[type, Callable[[Draft, Any], None]] = {
    CreatePayment: attempts.create,
    OrderPlaced: _place,
    CancelPayment: cancellation.cancel,
    CapturePayment: attempts.capture,
    RequestRefund: refunds.request,
    AttemptSeen: attempts.seen,
    RefundSeen: refunds.refund_seen,
    ChargeRefunded: refunds.charge_refunded,
    DisputeSeen: refunds.dispute_seen,
    OperationEnded: _operation_ended,
    TimePassed: _time_passed,
}


def under_way(payable: Payable, operation: Operation) -> Payable:
    """The payable while the operation is still under way; its end follows in the same transaction."""
    if operation in payable.operations:
        return payable
    return replace(payable, operations=(*payable.operations, operation))


def asked(payable: Payable, look_at: datetime | None) -> Payable:
    """The payable once the question of `look_at` has its answer; one that arose meanwhile is still to be asked."""
    return replace(payable, look_at=None) if payable.look_at == look_at else payable
