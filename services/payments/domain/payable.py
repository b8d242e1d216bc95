"""The payable of one order and what follows from it by arithmetic.

Why: every amount is a sum over the ledger, so that no counter can disagree with the facts it was made from (S-13).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """Judgement over all attempts, ledger first (SAGA 2)."""

    UNPAID = "UNPAID"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PAID = "PAID"
    MISMATCHED = "MISMATCHED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class AttemptState(StrEnum):
    """Lifecycle of an attempt."""

    CREATING = "CREATING"
    PAYABLE = "PAYABLE"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    SUCCEEDED = "SUCCEEDED"
    CANCELED = "CANCELED"


_LIVE = {AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION, AttemptState.PROCESSING}
_END = {AttemptState.SUCCEEDED, AttemptState.CANCELED}

# From -> to. Between the live states the customer may go back and forth; the provider's time decides. What comes
# later in RANKS is never overwritten by what comes earlier, whatever arrives last: money wins over all.
TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.CREATING: frozenset({*_LIVE, AttemptState.AUTHORIZED, *_END}),
    AttemptState.PAYABLE: frozenset({*_LIVE - {AttemptState.PAYABLE}, AttemptState.AUTHORIZED, *_END}),
    AttemptState.REQUIRES_ACTION: frozenset({*_LIVE - {AttemptState.REQUIRES_ACTION}, AttemptState.AUTHORIZED, *_END}),
    AttemptState.PROCESSING: frozenset({*_LIVE - {AttemptState.PROCESSING}, AttemptState.AUTHORIZED, *_END}),
    AttemptState.AUTHORIZED: frozenset(_END),
    AttemptState.CANCELED: frozenset({AttemptState.SUCCEEDED}),
    AttemptState.SUCCEEDED: frozenset(),
}
RANKS: dict[AttemptState, int] = {
    AttemptState.CREATING: 0,
    AttemptState.PAYABLE: 1,
    AttemptState.REQUIRES_ACTION: 1,
    AttemptState.PROCESSING: 1,
    AttemptState.AUTHORIZED: 2,
    AttemptState.CANCELED: 3,
    AttemptState.SUCCEEDED: 4,
}


class Flow(StrEnum):
    """How the customer pays."""

    INTENT = "INTENT"
    CHECKOUT = "CHECKOUT"


class End(StrEnum):
    """Why an attempt ended without money."""

    NONE = ""
    CANCELED = "canceled"
    LAPSED = "lapsed"
    FAILED = "failed"


class Entry(StrEnum):
    """Kinds of ledger facts."""

    AUTHORIZED = "authorized"
    RELEASED = "released"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUND_REVERSED = "refund_reversed"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"


class RefundState(StrEnum):
    """Lifecycle of a refund; a succeeded one can still fail (F-8)."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class DisputeState(StrEnum):
    """Where a dispute stands."""

    NONE = "NONE"
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class Kind(StrEnum):
    """What an operation asks of the provider."""

    CREATE = "create"
    CANCEL = "cancel"
    CAPTURE = "capture"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Money:
    """Whole minor units of a currency (ISO 4217, upper case)."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class LedgerFact:
    """One money fact; `(object_id, entry)` is unique, whatever told it (S-13)."""

    object_id: str
    entry: Entry
    money: Money
    occurred_at: datetime
    source_id: str = ""  # the capture that a refund or dispute is about


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider's words for a failure of the customer."""

    occurred_at: datetime
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One object at the provider that the customer can pay, or could."""

    id: str
    number: int
    flow: Flow
    state: AttemptState
    created_at: datetime
    state_at: datetime
    request_id: str = ""
    object_id: str = ""
    payment_id: str = ""
    charge_id: str = ""
    method: str = ""
    end: End = End.NONE
    failures: int = 0
    failure: Failure | None = None
    orphan: bool = False  # not begun by a call of ours, or beside a live attempt: it must end
    capture_request: str = ""  # orders' request that its capture answers
    creates: int = 0
    cancels: int = 0

    @property
    def ended(self) -> bool:
        return self.state in _END

    def names(self, *ids: str) -> bool:
        """Whether one of the ids is this attempt's at the provider."""
        return any(id and id in (self.object_id, self.payment_id) for id in ids)


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund at the provider; a request that needs several captures has several parts."""

    id: str
    refund_id: str  # orders' id; empty for a refund made at the provider
    source_id: str  # the capture it comes from
    money: Money
    state: RefundState
    provider_refund_id: str = ""
    number: int = 1
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute of a capture."""

    id: str
    source_id: str
    money: Money
    state: DisputeState
    occurred_at: datetime
    withdrawn: bool = False  # false for an inquiry: the bank asks, but took nothing


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation that orders asked for; answered exactly once (S-9)."""

    id: str
    requested_at: datetime
    settled: bool = False
    delayed: bool = False
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A call to the provider that is PLANNED, SENT or UNKNOWN."""

    id: str
    kind: Kind
    target_id: str  # attempt or refund


@dataclass(frozen=True, slots=True)
class Payable:
    """The root: what is due for one order and all that was done about it."""

    order_id: str
    due: Money | None = None  # None until orders or the first call says it
    version: int = 0
    manual_capture: bool = False
    closed: bool = False
    succeeded: bool = False  # PaymentSucceeded was said
    look_at: datetime | None = None  # when the provider must be asked about what has not ended
    attempts: tuple[Attempt, ...] = ()
    ledger: tuple[LedgerFact, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    operations: tuple[Operation, ...] = ()

    @property
    def live_attempt(self) -> Attempt | None:
        """The one attempt that can still be paid (S-14)."""
        return next((a for a in self.attempts if not a.ended and not a.orphan), None)

    @property
    def waiting(self) -> tuple[Cancellation, ...]:
        """Cancellations that have no answer yet."""
        return tuple(c for c in self.cancellations if not c.settled)

    def attempt(self, attempt_id: str) -> Attempt:
        return next(a for a in self.attempts if a.id == attempt_id)

    @property
    def money_came(self) -> bool:
        """Whether anything was ever captured."""
        return any(f.entry is Entry.CAPTURED for f in self.ledger)

    def busy(self, target_id: str) -> bool:
        """Whether an operation on the attempt or refund is under way."""
        return any(o.target_id == target_id for o in self.operations)

    def has(self, object_id: str, entry: Entry) -> bool:
        return any(f.object_id == object_id and f.entry is entry for f in self.ledger)

    def facts(self, entry: Entry) -> Iterable[LedgerFact]:
        return (f for f in self.ledger if f.entry is entry)

    def sum(self, entry: Entry, currency: str, source_id: str | None = None) -> int:
        return sum(
            f.money.amount_minor
            for f in self.facts(entry)
            if f.money.currency == currency and (source_id is None or source_id in (f.source_id, f.object_id))
        )

    def with_attempt(self, attempt: Attempt) -> Payable:
        return replace(self, attempts=tuple(attempt if a.id == attempt.id else a for a in self.attempts))

    def with_refund(self, refund: Refund) -> Payable:
        return replace(self, refunds=tuple(refund if r.id == refund.id else r for r in self.refunds))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Verdict and amounts that every payment fact carries, in minor units of `currency`."""

    verdict: Verdict
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    due_minor: int
    currency: str
    currency_differs: bool
    dispute: DisputeState
    refund_pending_minor: int


def snapshot(payable: Payable) -> Snapshot:
    """Verdict and amounts now. The amounts are those of `counted_currency`, the due is what it is."""
    currency = counted_currency(payable)
    refunded = payable.sum(Entry.REFUNDED, currency) - payable.sum(Entry.REFUND_REVERSED, currency)
    return Snapshot(
        verdict=verdict(payable),
        authorized_minor=authorized(payable, currency),
        captured_minor=payable.sum(Entry.CAPTURED, currency),
        refunded_minor=refunded,
        due_minor=payable.due.amount_minor if payable.due else 0,
        currency=payable.due.currency if payable.due else currency,
        currency_differs=_currency_differs(payable),
        dispute=max(payable.disputes, key=lambda d: (d.occurred_at, d.id)).state
        if payable.disputes
        else DisputeState.NONE,
        refund_pending_minor=refunds_pending(payable, currency),
    )


def verdict(payable: Payable) -> Verdict:
    """Ledger first, then the attempt that can still be paid, then how the last one ended."""
    due = payable.due
    if payable.money_came:
        paid = due is not None and payable.sum(Entry.CAPTURED, due.currency) >= due.amount_minor
        return Verdict.PAID if paid else Verdict.MISMATCHED
    if due is not None and 0 < due.amount_minor <= authorized(payable, due.currency):
        return Verdict.AUTHORIZED
    attempt = payable.live_attempt
    if attempt is None:
        ours = [a for a in payable.attempts if not a.orphan]
        if not ours:
            return Verdict.UNPAID
        return Verdict.FAILED if ours[-1].end is End.FAILED else Verdict.CANCELED
    if attempt.state is AttemptState.REQUIRES_ACTION:
        return Verdict.REQUIRES_ACTION
    if attempt.state is AttemptState.PROCESSING:
        return Verdict.PROCESSING
    return Verdict.FAILED if attempt.failures else Verdict.UNPAID


def counted_currency(payable: Payable) -> str:
    """The currency of what is due; where money came only in another one, that one (R-1.15)."""
    currencies = {f.money.currency for f in payable.facts(Entry.CAPTURED)}
    if payable.due and (not currencies or payable.due.currency in currencies):
        return payable.due.currency
    return min(currencies, default="")


def authorized(payable: Payable, currency: str) -> int:
    """Authorized and neither captured nor released."""
    return sum(
        f.money.amount_minor
        for f in payable.facts(Entry.AUTHORIZED)
        if f.money.currency == currency
        and not payable.has(f.object_id, Entry.CAPTURED)
        and not payable.has(f.object_id, Entry.RELEASED)
    )


def refunds_pending(payable: Payable, currency: str, source_id: str | None = None) -> int:
    """Refunds that are planned or under way at the provider."""
    return sum(
        r.money.amount_minor
        for r in payable.refunds
        if r.state is RefundState.PENDING
        and r.money.currency == currency
        and (source_id is None or r.source_id == source_id)
    )


def refundable(payable: Payable, capture: LedgerFact) -> int:
    """What one capture can still give back: captured - refunds (pending, succeeded) - disputed (open, lost) (S-18)."""
    currency, source = capture.money.currency, capture.object_id
    refunded = payable.sum(Entry.REFUNDED, currency, source) - payable.sum(Entry.REFUND_REVERSED, currency, source)
    disputed = sum(
        d.money.amount_minor
        for d in payable.disputes
        if d.source_id == source and d.state in (DisputeState.OPEN, DisputeState.LOST)
    )
    return max(0, capture.money.amount_minor - refunded - refunds_pending(payable, currency, source) - disputed)


def _currency_differs(payable: Payable) -> bool:
    due = payable.due
    return due is not None and any(f.money.currency != due.currency for f in payable.facts(Entry.CAPTURED))
