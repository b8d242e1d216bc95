"""Short ways to make payables and facts.

Why: a test of a decision should read as the story that it tells.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.payments.domain import (
    AttemptSeen,
    AttemptState,
    CreatePayment,
    Decision,
    Flow,
    Kind,
    Money,
    OperationEnded,
    Payable,
    RefundSeen,
    RefundState,
    decide,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DUE = Money(1_000, "USD")


def at(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def run(payable: Payable, *causes: Any, now: datetime = NOW) -> Payable:
    """The payable after several causes."""
    for cause in causes:
        payable = decide(payable, cause, now).payable
    return payable


def names(decision: Decision) -> list[str]:
    return [type(event).__name__ for event in decision.events]


def create(attempt_id: str = "a1", request_id: str = "", due: Money = DUE, **more: Any) -> CreatePayment:
    return CreatePayment(attempt_id, request_id or f"r-{attempt_id}", due, more.pop("flow", Flow.INTENT), **more)


def seen(state: AttemptState, seconds: int = 0, **more: Any) -> AttemptSeen:
    """The intent pi_1 in a state; captured or authorized in full where the state says so."""
    if state is AttemptState.SUCCEEDED:
        more.setdefault("captured_minor", DUE.amount_minor)
    if state is AttemptState.AUTHORIZED:
        more.setdefault("authorized_minor", DUE.amount_minor)
    more.setdefault("payment_id", "pi_1")
    more.setdefault("currency", "USD")
    return AttemptSeen(occurred_at=at(seconds), state=state, **more)


def failed(seconds: int = 0, code: str = "card_declined", **more: Any) -> AttemptSeen:
    return seen(AttemptState.PAYABLE, seconds, failed=True, failure_code=code, failure_message="No.", **more)


def ended(payable: Payable, kind: Kind, *, succeeded: bool = True, **more: Any) -> OperationEnded:
    """The end of the operation of that kind that is under way."""
    operation = next(o for o in payable.operations if o.kind is kind)
    return OperationEnded(operation.id, kind, operation.target_id, succeeded, **more)


def live(**more: Any) -> Payable:
    """A payable whose first intent can be paid."""
    payable = run(Payable("order-1"), create(**more))
    return run(payable, ended(payable, Kind.CREATE, seen=seen(AttemptState.PAYABLE, attempt_id="a1", asked=True)))


def paid() -> Payable:
    return run(live(), seen(AttemptState.SUCCEEDED, 5))


def refund_seen(state: RefundState, seconds: int = 10, **more: Any) -> RefundSeen:
    more.setdefault("amount", DUE)
    more.setdefault("provider_refund_id", "re_1")
    return RefundSeen(occurred_at=at(seconds), payment_id="pi_1", state=state, **more)
