"""Rows as JSON, one shape for reading and writing, to and from the domain's values.

Why: a whole batch of payables is read by one statement and written by one statement per table.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from services.payments.domain import (
    Attempt,
    AttemptState,
    Cancellation,
    Dispute,
    DisputeState,
    End,
    Entry,
    Failure,
    Flow,
    Kind,
    LedgerFact,
    Money,
    Operation,
    Refund,
    RefundState,
    operation_id,
)

Row = dict[str, Any]

_SIDES: Mapping[Entry, tuple[str, str]] = {
    Entry.AUTHORIZED: ("held", "holds"),
    Entry.RELEASED: ("holds", "held"),
    Entry.CAPTURED: ("provider", "customer"),
    Entry.REFUNDED: ("customer", "provider"),
    Entry.REFUND_REVERSED: ("provider", "customer"),
    Entry.DISPUTE_WITHDRAWN: ("disputes", "provider"),
    Entry.DISPUTE_REINSTATED: ("provider", "disputes"),
}


def attempt_row(attempt: Attempt, order_id: str, provider: str) -> Row:
    """A new attempt as a row of `payment_attempts`."""
    return {
        **moved_row(attempt),
        "order_id": order_id,
        "number": attempt.number,
        "provider": provider,
        "flow": attempt.flow,
        "request_id": attempt.request_id,
        "created_at": attempt.created_at,
    }


def moved_row(attempt: Attempt) -> Row:
    """What may change of an attempt, and its id."""
    failure = attempt.failure
    return {
        "id": attempt.id,
        "state": attempt.state,
        "state_at": attempt.state_at,
        "ended_by": attempt.end,
        "object_id": attempt.object_id,
        "payment_id": attempt.payment_id,
        "charge_id": attempt.charge_id,
        "method": attempt.method,
        "failures": attempt.failures,
        "failure_at": failure.occurred_at if failure else None,
        "failure_code": failure.code if failure else "",
        "failure_message": failure.message if failure else "",
        "orphan": attempt.orphan,
        "capture_request": attempt.capture_request,
        "capture_minor": attempt.capture_minor,
        "creates": attempt.creates,
        "cancels": attempt.cancels,
        "captures": attempt.captures,
    }


def ledger_row(fact: LedgerFact, order_id: str, provider: str, caused_by: str) -> Row:
    """A ledger fact as a balanced row of `payment_transactions`."""
    debit, credit = _SIDES[fact.entry]
    return {
        "order_id": order_id,
        "provider": provider,
        "object_id": fact.object_id,
        "fact": fact.entry,
        "debit": debit,
        "credit": credit,
        "amount_minor": fact.money.amount_minor,
        "currency": fact.money.currency,
        "source_id": fact.source_id,
        "occurred_at": fact.occurred_at,
        "caused_by": caused_by,
    }


def refund_row(refund: Refund, order_id: str, provider: str) -> Row:
    """A refund as a row of `refunds`."""
    return {
        "id": refund.id,
        "order_id": order_id,
        "refund_id": refund.refund_id,
        "number": refund.number,
        "tries": refund.tries,
        "provider": provider,
        "source_id": refund.source_id,
        "provider_refund_id": refund.provider_refund_id,
        "amount_minor": refund.money.amount_minor,
        "currency": refund.money.currency,
        "state": refund.state,
        "code": refund.code,
        "reason": refund.reason,
    }


def dispute_row(dispute: Dispute, order_id: str, provider: str) -> Row:
    """A dispute as a row of `disputes`."""
    return {
        "id": dispute.id,
        "provider": provider,
        "order_id": order_id,
        "source_id": dispute.source_id,
        "amount_minor": dispute.money.amount_minor,
        "currency": dispute.money.currency,
        "state": dispute.state,
        "occurred_at": dispute.occurred_at,
        "withdrawn": dispute.withdrawn,
    }


def cancellation_row(cancellation: Cancellation, order_id: str) -> Row:
    """A cancellation as a row of `cancellations`."""
    return {
        "id": cancellation.id,
        "order_id": order_id,
        "requested_at": cancellation.requested_at,
        "settled": cancellation.settled,
        "delayed": cancellation.delayed,
        "overdue": cancellation.overdue,
    }


def _attempt(row: Row) -> Attempt:
    failure = None
    if row["failure_at"] is not None:
        failure = Failure(_time(row["failure_at"]), row["failure_code"], row["failure_message"])
    return Attempt(
        id=row["id"],
        number=row["number"],
        flow=Flow(row["flow"]),
        state=AttemptState(row["state"]),
        created_at=_time(row["created_at"]),
        state_at=_time(row["state_at"]),
        request_id=row["request_id"],
        object_id=row["object_id"],
        payment_id=row["payment_id"],
        charge_id=row["charge_id"],
        method=row["method"],
        end=End(row["ended_by"]),
        failures=row["failures"],
        failure=failure,
        orphan=row["orphan"],
        capture_request=row["capture_request"],
        capture_minor=row["capture_minor"],
        creates=row["creates"],
        cancels=row["cancels"],
        captures=row["captures"],
    )


def _fact(row: Row) -> LedgerFact:
    at = _time(row["occurred_at"])
    return LedgerFact(row["object_id"], Entry(row["fact"]), _money(row), at, row["source_id"])


def _refund(row: Row) -> Refund:
    return Refund(
        id=row["id"],
        refund_id=row["refund_id"],
        source_id=row["source_id"],
        money=_money(row),
        state=RefundState(row["state"]),
        provider_refund_id=row["provider_refund_id"],
        number=row["number"],
        tries=row["tries"],
        code=row["code"],
        reason=row["reason"],
    )


def _dispute(row: Row) -> Dispute:
    state, at = DisputeState(row["state"]), _time(row["occurred_at"])
    return Dispute(row["id"], row["source_id"], _money(row), state, at, row["withdrawn"])


def _cancellation(row: Row) -> Cancellation:
    return Cancellation(row["id"], _time(row["requested_at"]), row["settled"], row["delayed"], row["overdue"])


def _operation(row: Row) -> Operation:
    kind = Kind(row["kind"])
    return Operation(operation_id(kind, row["number"]), kind, row["target"])


def _money(row: Row) -> Money:
    return Money(row["amount_minor"], row["currency"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Field of `Payable` -> how a row becomes its element.
READERS: Mapping[str, Callable[[Row], Any]] = {
    "attempts": _attempt,
    "ledger": _fact,
    "refunds": _refund,
    "disputes": _dispute,
    "cancellations": _cancellation,
    "operations": _operation,
}
