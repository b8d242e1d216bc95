"""What a decision gathers while it is being made, and what comes out of it.

Why: the rules read as plain statements, while `decide` stays a pure function of frozen values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from .events import Event
from .payable import Attempt, LedgerFact, Money, Operation, Payable, Refund
from .states import Entry, Flow, Kind
from .sums import Snapshot


class Outcome(StrEnum):
    """What became of an input (S-25)."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    CONTRADICTION = "CONTRADICTION"
    REFUSED = "REFUSED"


def _one(currency: str) -> int:
    """Every amount can be moved."""
    return 1


@dataclass(frozen=True, slots=True)
class Rules:
    """Durations of the domain, and what the provider can move."""

    ask_again: timedelta = timedelta(hours=1)
    overdue: timedelta = timedelta(hours=24)
    unit_of: Callable[[str], int] = _one


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused: reason in upper snake, a sentence that is safe to show."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """A call to the provider. `number` counts the payable's operations of a kind: both name it for ever (S-15)."""

    kind: Kind
    number: int
    target_id: str
    flow: Flow
    object_id: str = ""  # empty for a create
    money: Money | None = None

    @property
    def id(self) -> str:
        """Unique within the payable."""
        return operation_id(self.kind, self.number)


@dataclass(frozen=True, slots=True)
class Incident:
    """What a person must see; one open incident per kind and subject."""

    kind: str
    subject: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The payable afterwards, and everything that must be stored together with it.

    Event n of `events` carries version `payable.version - len(events) + n + 1`, all of them `snapshot`.
    """

    payable: Payable
    snapshot: Snapshot
    events: tuple[Event, ...] = ()
    operations: tuple[OperationPlan, ...] = ()
    incidents: tuple[Incident, ...] = ()
    outcome: Outcome = Outcome.APPLIED
    refusal: Refusal | None = None
    attempt_id: str = ""  # answer of CreatePayment
    changed: bool = True


def operation_id(kind: Kind, number: int) -> str:
    """The id of the n-th operation of a kind within its payable: the same whoever plans it."""
    return f"{kind}:{number}"


@dataclass(slots=True)
class Draft:
    """A decision in the making. `payable` is a copy of its own, changed in place until the decision is made."""

    payable: Payable
    now: datetime
    rules: Rules
    events: list[Event] = field(default_factory=list)
    operations: list[OperationPlan] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    outcome: Outcome = Outcome.APPLIED
    refusal: Refusal | None = None
    attempt_id: str = ""

    def say(self, event: Event) -> None:
        self.events.append(event)

    def raise_incident(self, kind: str, subject: str, **details: str) -> None:
        self.incidents.append(Incident(kind, subject, tuple(sorted(details.items()))))

    def refuse(self, reason: str, message: str) -> None:
        self.refusal = Refusal(reason, message)
        self.outcome = Outcome.REFUSED

    def change(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self.payable, name, value)

    def put(self, attempt: Attempt) -> Attempt:
        self.change(attempts=tuple(attempt if a.id == attempt.id else a for a in self.payable.attempts))
        return attempt

    def put_refund(self, refund: Refund) -> None:
        self.change(refunds=tuple(refund if r.id == refund.id else r for r in self.payable.refunds))

    def book(self, object_id: str, entry: Entry, money: Money, at: datetime, source_id: str = "") -> bool:
        """Add a ledger fact; false when it was counted before (S-13)."""
        if money.amount_minor <= 0 or self.payable.has(object_id, entry):
            return False
        fact = LedgerFact(object_id, entry, money, at, source_id)
        self.change(ledger=(*self.payable.ledger, fact))
        return True

    def plan(self, plan: OperationPlan) -> None:
        self.operations.append(plan)
        self.change(operations=(*self.payable.operations, Operation(plan.id, plan.kind, plan.target_id)))

    def end_operation(self, operation_id: str) -> bool:
        """Forget an operation that ended; false when it was not under way."""
        left = tuple(o for o in self.payable.operations if o.id != operation_id)
        known = len(left) < len(self.payable.operations)
        self.change(operations=left)
        return known

    def look(self, at: datetime) -> None:
        """Have the provider asked at that time, or earlier; a question that is due may be on its way already."""
        earlier = self.payable.look_at
        both_due = earlier is not None and max(earlier, at) <= self.now
        self.change(look_at=at if earlier is None else max(at, earlier) if both_due else min(at, earlier))
