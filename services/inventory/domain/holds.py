"""The stock of one order: its root, its holds, and the lines they hold.

Why: S-19's laws live in the lines. A hold counts what it reserved, committed, shipped, gave back and took back, and at
most one hold of an order is live, so nothing can be given back or shipped twice.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.inventory.domain.catalogue import Price
from services.inventory.domain.commands import LineQuantity, Units


class HoldState(StrEnum):
    """Lifecycle of a hold."""

    TENTATIVE = "TENTATIVE"
    ATTACHED = "ATTACHED"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    LAPSED = "LAPSED"


FIRST_ROUND = 1
LIVE = frozenset({HoldState.TENTATIVE, HoldState.ATTACHED, HoldState.COMMITTED})

TRANSITIONS: dict[HoldState | None, frozenset[HoldState]] = {
    None: frozenset({HoldState.TENTATIVE, HoldState.ATTACHED, HoldState.COMMITTED, HoldState.RELEASED}),
    HoldState.TENTATIVE: frozenset({HoldState.ATTACHED, HoldState.COMMITTED, HoldState.RELEASED, HoldState.LAPSED}),
    HoldState.ATTACHED: frozenset({HoldState.COMMITTED, HoldState.RELEASED}),
    HoldState.COMMITTED: frozenset({HoldState.RELEASED}),
    HoldState.RELEASED: frozenset(),
    HoldState.LAPSED: frozenset(),
}
"""Legal steps; a new hold is born by the first row, RELEASED being the tombstone of S-6."""


class IllegalTransition(ValueError):
    """A step that `TRANSITIONS` does not have."""


class HoldLine(NamedTuple):
    """Units of one line at one location; all counters only grow."""

    line: int
    sku: str
    location: str
    reserved: int
    committed: int = 0
    shipped: int = 0
    released: int = 0
    returned: int = 0
    name: str = ""
    price: Price | None = None

    @property
    def open(self) -> int:
        """Units that count as reserved in the stock."""
        return self.reserved - self.shipped - self.released

    @property
    def shippable(self) -> int:
        """Units that may leave: committed, not shipped and not given back."""
        return min(self.committed - self.shipped, self.open)


class Hold(NamedTuple):
    """One reservation of an order; `lapses_at` only while it is tentative."""

    reservation: int
    state: HoldState
    lines: tuple[HoldLine, ...] = ()
    lapses_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether units may still be open."""
        return self.state in LIVE

    def holds_exactly(self, lines: Units) -> bool:
        """Whether its open units are these, line by line."""
        return {(held.line, held.sku): held.open for held in self.lines if held.open} == {
            (wanted.line, wanted.sku): wanted.quantity for wanted in lines
        }

    def to(self, state: HoldState, lines: tuple[HoldLine, ...] | None = None) -> "Hold":
        """The hold in its next state, without a time limit."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self.state} to {state}")
        return Hold(self.reservation, state, self.lines if lines is None else lines)


class OrderStock(NamedTuple):
    """The root: one per order. `holds` by number; `answered` are requests that were answered; rounds start at 1.

    `released_round` is the last round in which everything was given back: a commit of it, or of one before, is late.
    """

    order_id: str
    version: int = 0
    placed: bool = False
    released_round: int = 0
    holds: tuple[Hold, ...] = ()
    answered: frozenset[str] = frozenset()

    @property
    def live(self) -> Hold | None:
        """The hold that may have open units."""
        for hold in self.holds:
            if hold.is_live:
                return hold
        return None

    @property
    def last_reservation(self) -> int:
        """The highest reservation number so far; 0 if there is none."""
        return self.holds[-1].reservation if self.holds else 0

    def hold(self, reservation: int) -> Hold | None:
        """The hold with this number."""
        for hold in self.holds:
            if hold.reservation == reservation:
                return hold
        return None

    def next(self, *holds: Hold, request_id: str = "") -> "OrderStock":
        """The root one version later, with these holds put in and the request marked as answered."""
        kept = {hold.reservation: hold for hold in (*self.holds, *holds)}
        return OrderStock(
            self.order_id,
            self.version + 1,
            self.placed,
            self.released_round,
            tuple(kept[number] for number in sorted(kept)),
            self.answered | {request_id} if request_id else self.answered,
        )


def open_units(lines: Iterable[HoldLine]) -> Units:
    """What is open, line by line."""
    return tuple(LineQuantity(held.line, held.sku, held.open) for held in lines if held.open)


def committed(hold: Hold) -> Hold:
    """The hold with all its open units committed."""
    lines = tuple(held._replace(committed=held.committed + held.open) for held in hold.lines)
    return hold.to(HoldState.COMMITTED, lines)
