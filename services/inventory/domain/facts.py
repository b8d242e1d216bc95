"""What became true about the stock of one order, and what a decision consists of.

Why: an answer names the request that it answers (S-2), and every command has one named outcome (S-25).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.inventory.domain.catalogue import CartProblem
from services.inventory.domain.commands import Units
from services.inventory.domain.holds import Hold, OrderStock
from services.inventory.domain.stock import Movement, Shortage, Stock, StockLow


class StockReserved(NamedTuple):
    """Stock is held for an order; `lapses_at` is None once the order was placed."""

    order_id: str
    version: int
    reservation: int
    lines: Units
    lapses_at: datetime | None


@dataclass(frozen=True, slots=True)
class StockCommitted:
    """An answer: the stock is the order's; `locations` are pairs of line and location."""

    order_id: str
    version: int
    request_id: str
    round: int
    lines: Units
    locations: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class StockUnavailable:
    """The stock is not to be had: an answer, or without a request id what became of a lapsed hold."""

    order_id: str
    version: int
    request_id: str
    round: int
    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class StockReleased:
    """Stock was given back: `reason` is requested, lapsed or undone; only the first answers a request."""

    order_id: str
    version: int
    request_id: str
    round: int
    lines: Units
    reservation: int
    reason: str


@dataclass(frozen=True, slots=True)
class StockShipped:
    """An answer: the units of a parcel left the stock."""

    order_id: str
    version: int
    request_id: str
    shipment_id: str
    lines: Units


@dataclass(frozen=True, slots=True)
class StockReturned:
    """An answer: the units are in the stock again."""

    order_id: str
    version: int
    request_id: str
    return_id: str
    lines: Units


Fact = StockReserved | StockCommitted | StockUnavailable | StockReleased | StockShipped | StockReturned


class Outcome(StrEnum):
    """What became of a command. A contradiction is for a person to look at: books and goods differ."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    CONTRADICTION = "CONTRADICTION"


class RefusedReason(StrEnum):
    """Why a reservation was refused."""

    CART_REJECTED = "CART_REJECTED"
    RESERVATION_UNDONE = "RESERVATION_UNDONE"
    ORDER_PLACED = "ORDER_PLACED"


@dataclass(frozen=True, slots=True)
class Refused:
    """A reservation that was refused, with all problems of the cart where that is the reason."""

    reason: RefusedReason
    problems: tuple[CartProblem, ...] = ()


class Decision(NamedTuple):
    """The state after a command, what became true, what moved, and for a reservation its answer."""

    order: OrderStock
    stock: Stock
    events: tuple[Fact | StockLow, ...] = ()
    movements: tuple[Movement, ...] = ()
    outcome: Outcome = Outcome.APPLIED
    answer: Hold | Refused | None = None
    note: str = ""


def stale(order: OrderStock, stock: Stock, note: str, answer: Hold | Refused | None = None) -> Decision:
    """The decision that changes nothing."""
    return Decision(order, stock, outcome=Outcome.STALE, answer=answer, note=note)
