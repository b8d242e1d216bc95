"""Levels per SKU and location, how they move, and when they are low.

Why: every unit that moves leaves a ledger entry (R-3.3) and each crossing of the threshold is told once (R-3.4), so
there is one function that moves a level, and all decisions go through it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

DEFAULT_LOW_STOCK_THRESHOLD = 5


class StockRow(NamedTuple):
    """Units of one SKU at one location. `reserved` are held or committed and not shipped; `shipped` counts for ever."""

    sku: str
    location: str
    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0
    version: int = 0
    threshold: int = DEFAULT_LOW_STOCK_THRESHOLD
    is_low: bool = False

    @property
    def available(self) -> int:
        """Units that can still be promised."""
        return self.on_hand - self.reserved


Stock = Mapping[str, Mapping[str, StockRow]]
"""Rows by SKU, then by location."""


class MovementKind(StrEnum):
    """Why a level moved; the ledger's kinds."""

    RESERVED = "reserved"
    COMMITTED = "committed"
    RELEASED = "released"
    LAPSED = "lapsed"
    SHIPPED = "shipped"
    RETURNED = "returned"
    ADJUSTED = "adjusted"


class Movement(NamedTuple):
    """One entry of the ledger: changes of the counters. A commit moves none, but is noted."""

    sku: str
    location: str
    kind: MovementKind
    order_id: str = ""
    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0


@dataclass(frozen=True, slots=True)
class StockLow:
    """A fact, once per crossing: available-to-promise fell below the threshold."""

    sku: str
    location: str
    version: int
    available: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is short: `available` is the most that one location could give."""

    sku: str
    available: int
    requested: int


@dataclass(frozen=True, slots=True)
class Short:
    """The answer that not everything is there: all that is short."""

    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Units to add to a level; negative to take away."""

    sku: str
    location: str
    delta: int


@dataclass(frozen=True, slots=True)
class BelowReserved:
    """A refusal: on-hand stock would fall below what is reserved."""

    sku: str
    location: str
    on_hand: int
    reserved: int
    delta: int


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Levels after adjustments that were all possible."""

    stock: Stock
    movements: tuple[Movement, ...]
    events: tuple[StockLow, ...]


class Shelf:
    """Levels while one decision is made: a copy that remembers each movement."""

    __slots__ = ("_order_id", "events", "movements", "stock")

    def __init__(self, stock: Stock, order_id: str = "") -> None:
        self.stock: dict[str, Mapping[str, StockRow]] = dict(stock)
        self.movements: list[Movement] = []
        self.events: list[StockLow] = []
        self._order_id = order_id

    def row(self, sku: str, location: str) -> StockRow:
        """The level; zero where there never was any."""
        return self.stock.get(sku, {}).get(location) or StockRow(sku, location)

    def move(
        self, sku: str, location: str, kind: MovementKind, *, on_hand: int = 0, reserved: int = 0, shipped: int = 0
    ) -> None:
        """Add to the counters, note it, and flip the flag where the threshold is crossed (S-20)."""
        old = self.row(sku, location)
        self.movements.append(Movement(sku, location, kind, self._order_id, on_hand, reserved, shipped))
        available = old.available + on_hand - reserved
        is_low = available < old.threshold
        new = StockRow(
            sku,
            location,
            old.on_hand + on_hand,
            old.reserved + reserved,
            old.shipped + shipped,
            old.version + 1,
            old.threshold,
            is_low,
        )
        self.stock[sku] = {**self.stock.get(sku, {}), location: new}
        if is_low and not old.is_low:
            self.events.append(StockLow(sku, location, new.version, available, old.threshold))

    def note(self, sku: str, location: str, kind: MovementKind) -> None:
        """An entry without a movement."""
        self.movements.append(Movement(sku, location, kind, self._order_id))


def choose_locations(wanted: Mapping[str, int], stock: Stock) -> dict[str, str] | Short:
    """Where each SKU ships from (S-20), or all that is short.

    All units of a SKU ship from one location. One location for the whole order is preferred, because it makes one
    parcel; else each SKU comes from where there is most of it. Ties go to the first location by name.
    """
    best: dict[str, str] = {}
    shortages: list[Shortage] = []
    shared: set[str] | None = None
    for sku, units in wanted.items():
        rows = stock.get(sku, {})
        fitting = {location for location, row in rows.items() if row.available >= units}
        if not fitting:
            shortages.append(Shortage(sku, max((row.available for row in rows.values()), default=0), units))
            continue
        best[sku] = min(fitting, key=lambda location: (-rows[location].available, location))
        shared = fitting if shared is None else shared & fitting
    if shortages:
        return Short(tuple(shortages))
    return dict.fromkeys(best, min(shared)) if shared else best


def adjust(stock: Stock, adjustments: Sequence[Adjustment]) -> Adjusted | BelowReserved:
    """Change on-hand stock, all or nothing, in the given order; never below what is reserved (R-3.3)."""
    shelf = Shelf(stock)
    for change in adjustments:
        row = shelf.row(change.sku, change.location)
        if row.on_hand + change.delta < row.reserved:
            return BelowReserved(change.sku, change.location, row.on_hand, row.reserved, change.delta)
        shelf.move(change.sku, change.location, MovementKind.ADJUSTED, on_hand=change.delta)
    return Adjusted(shelf.stock, tuple(shelf.movements), tuple(shelf.events))


def changed_rows(before: Stock, after: Stock) -> list[StockRow]:
    """Rows that differ, in the order of SKU and location."""
    changed: list[StockRow] = []
    for sku, rows in after.items():
        old = before.get(sku)
        if old is not rows:
            changed += (row for location, row in rows.items() if old is None or old.get(location) is not row)
    return sorted(changed, key=lambda row: (row.sku, row.location))


def stock_of(rows: Iterable[StockRow]) -> dict[str, dict[str, StockRow]]:
    """Rows by SKU and location."""
    stock: dict[str, dict[str, StockRow]] = {}
    for row in rows:
        stock.setdefault(row.sku, {})[row.location] = row
    return stock
