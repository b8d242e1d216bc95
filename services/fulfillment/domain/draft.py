"""What a decision gathers while it is being made, and what comes out of it.

Why: the rules read as plain statements, while `decide` stays a pure function of frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from .events import Event
from .fulfillment import Fulfillment, FulfillmentState, Kind, Operation

_NAMES = UUID("6f6e6566-6f6c-4000-8000-66756c66696c")


class Outcome(StrEnum):
    """What became of an input (S-25)."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    CONTRADICTION = "CONTRADICTION"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Rules:
    """Pauses after a try in vain; there is one try more than pauses: 8 over 24 h (R-4.7)."""

    pauses: tuple[timedelta, ...] = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 120, 360, 840))


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """A call to the provider: the journal's id follows from order, kind and number (S-15)."""

    kind: Kind
    number: int  # of the operation, over all kinds
    reference: int  # number of the object at the provider, see Fulfillment.number
    object_id: str = ""  # empty for a create


@dataclass(frozen=True, slots=True)
class Incident:
    """What a person must see; one open incident per kind and subject."""

    kind: str
    subject: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The root afterwards, and everything that must be stored together with it.

    Event n of `events` carries version `fulfillment.version - len(events) + n + 1`. `withdraw`: operations that were
    never sent are to be taken back in the same transaction; each is then told as OperationEnded(absent=True) (S-10).
    For a hold nothing was decided yet: it is decided again with `taken_back` set, and nothing else is told (S-23).
    """

    fulfillment: Fulfillment
    events: tuple[Event, ...] = ()
    operations: tuple[OperationPlan, ...] = ()
    incidents: tuple[Incident, ...] = ()
    outcome: Outcome = Outcome.APPLIED
    note: str = ""
    withdraw: bool = False


def shipment_id(order_id: str, provider_shipment_id: str) -> str:
    """Our id of a provider's parcel: the same whoever sees it first."""
    return str(uuid5(_NAMES, f"{order_id}/shipment/{provider_shipment_id}"))


@dataclass(slots=True)
class Draft:
    """A decision in the making."""

    fulfillment: Fulfillment
    now: datetime
    rules: Rules
    parked: bool = False
    events: list[Event] = field(default_factory=list)
    operations: list[OperationPlan] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    outcome: Outcome = Outcome.APPLIED
    note: str = ""
    withdraw: bool = False

    def say(self, event: Event) -> None:
        """Tell the others."""
        self.events.append(event)

    def raise_incident(self, kind: str, subject: str = "", **details: str) -> None:
        """Show it to a person; the subject is the order unless given."""
        subject = subject or self.fulfillment.order_id
        self.incidents.append(Incident(kind, subject, tuple(sorted(details.items()))))

    def end(self, outcome: Outcome, note: str) -> None:
        """The input has no effect, for a named reason."""
        self.outcome, self.note = outcome, note

    def change(self, **fields: object) -> None:
        """Replace fields of the root."""
        self.fulfillment = replace(self.fulfillment, **fields)  # type: ignore[arg-type]

    def move(self, state: FulfillmentState, reason: str = "") -> None:
        """Go to a state; the reason of the former one is gone."""
        self.change(state=state, reason=reason)

    def answered(self, request_id: str) -> None:
        """Remember that a request of orders has its answer."""
        self.change(answered=(*self.fulfillment.answered, request_id))

    def plan(self, kind: Kind, *, reference: int, object_id: str = "") -> None:
        """Plan a call to the provider; one about another object leaves the time of the present one alone."""
        root = self.fulfillment
        number = root.planned + 1
        self.operations.append(OperationPlan(kind, number, reference, object_id))
        next_try_at = None if reference == root.number else root.next_try_at
        self.change(planned=number, operations=(*root.operations, Operation(kind, number)), next_try_at=next_try_at)

    def end_operation(self, kind: Kind, number: int) -> bool:
        """Forget an operation that ended; false when it was not under way."""
        left = tuple(o for o in self.fulfillment.operations if o != Operation(kind, number))
        known = len(left) < len(self.fulfillment.operations)
        self.change(operations=left)
        return known

    def try_later(self) -> bool:
        """Count a try in vain and set the next one; false when it was the last."""
        tries = self.fulfillment.tries + 1
        self.change(tries=tries)
        if tries > len(self.rules.pauses):
            return False
        self.change(next_try_at=self.now + self.rules.pauses[tries - 1])
        return True

    @property
    def due(self) -> bool:
        """Whether nothing says to wait before the next try."""
        at = self.fulfillment.next_try_at
        return at is None or at <= self.now
