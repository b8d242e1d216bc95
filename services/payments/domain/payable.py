"""The payable of one order and its parts: frozen values.

Why: every amount is a sum over the ledger, so that no counter can disagree with the facts it was made from (S-13).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .states import END, AttemptState, DisputeState, End, Entry, Flow, Kind, RefundState


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
    capture_minor: int = 0  # how much of the authorisation it asked for
    creates: int = 0  # operations planned so far, by kind
    cancels: int = 0
    captures: int = 0

    @property
    def ended(self) -> bool:
        return self.state in END

    def names(self, *ids: str) -> bool:
        """Whether one of the ids is this attempt's at the provider."""
        return bool((self.object_id and self.object_id in ids) or (self.payment_id and self.payment_id in ids))


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund at the provider; a request that needs several captures has several parts."""

    id: str
    refund_id: str  # orders' id; empty for a refund made at the provider
    source_id: str  # the capture it comes from
    money: Money
    state: RefundState
    provider_refund_id: str = ""
    number: int = 1  # tries of the request: all parts of one try carry the same, and those that failed since
    tries: int = 0  # operations planned so far
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
    rounded_minor: int = 0  # of what is due: asked back, and too little for the provider until now (F-12)
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
        return (object_id, entry) in [(fact.object_id, fact.entry) for fact in self.ledger]

    def facts(self, entry: Entry) -> list[LedgerFact]:
        return [fact for fact in self.ledger if fact.entry is entry]

    def sum(self, entry: Entry, currency: str, source_id: str | None = None) -> int:
        facts = [fact for fact in self.ledger if fact.entry is entry and fact.money.currency == currency]
        if source_id is not None:
            facts = [fact for fact in facts if source_id in (fact.source_id, fact.object_id)]
        return sum([fact.money.amount_minor for fact in facts])
