"""Items, their prices, and what is wrong with a cart before anybody looks at stock.

Why: names and prices come from the server's catalogue only (R-2.2), and a customer hears all problems at once (R-2.1).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

_SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Price(NamedTuple):
    """An amount in minor units of an ISO 4217 currency."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the catalogue; `prices` holds minor units by currency, one price each."""

    sku: str
    name: str
    prices: Mapping[str, int]
    available: bool = True
    weight_grams: int = 0
    variant_ids: Mapping[str, str] = field(default_factory=dict)
    low_stock_threshold: int = 0


class WantedLine(NamedTuple):
    """One line that somebody wants; `seen` is the unit price the customer saw, None if it is not to be compared."""

    line: int
    sku: str
    quantity: int
    seen: Price | None = None


class PricedLine(NamedTuple):
    """One line at today's name and unit price; without a price where the item has none in the cart's currency."""

    line: int
    sku: str
    quantity: int
    name: str = ""
    price: Price | None = None


class Wanted(Protocol):
    """What asks for units of a SKU."""

    @property
    def sku(self) -> str: ...
    @property
    def quantity(self) -> int: ...


class ProblemKind(StrEnum):
    """Kinds of problem, named as in the protocol."""

    UNKNOWN_SKU = "UNKNOWN_SKU"
    NOT_AVAILABLE = "NOT_AVAILABLE"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    PRICE_MOVED = "PRICE_MOVED"
    NO_PRICE_IN_CURRENCY = "NO_PRICE_IN_CURRENCY"
    QUANTITY_TOO_LARGE = "QUANTITY_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class CartProblem:
    """What is wrong with one SKU of a cart; `requested` counts over all lines of the SKU."""

    kind: ProblemKind
    sku: str
    requested: int
    available: int = 0
    price_was: Price | None = None
    price_now: Price | None = None
    maximum: int = 0


class Cart(NamedTuple):
    """The lines whose SKU is known, at today's prices, and all problems that the catalogue knows of."""

    lines: tuple[PricedLine, ...]
    problems: tuple[CartProblem, ...] = ()


def price_cart(wanted: Sequence[WantedLine], currency: str, items: Mapping[str, Item], maximum: int) -> Cart:
    """Price `wanted` in `currency`; `maximum` is the most units of one SKU per order. Stock is not looked at."""
    requested = quantities(wanted)
    problems = [
        problem for sku, units in requested.items() for problem in _of_sku(sku, units, currency, items, maximum)
    ]
    lines: list[PricedLine] = []
    for line in wanted:
        item = items.get(line.sku)
        if item is None:
            continue
        amount = item.prices.get(currency)
        price = None if amount is None else Price(amount, currency)
        lines.append(PricedLine(line.line, line.sku, line.quantity, item.name, price))
        if price is not None and line.seen is not None and has_moved(line.seen, price):
            moved = CartProblem(
                ProblemKind.PRICE_MOVED, line.sku, requested[line.sku], price_was=line.seen, price_now=price
            )
            if moved not in problems:
                problems.append(moved)
    return Cart(tuple(lines), tuple(problems))


def is_sku(text: str) -> bool:
    """Whether the text can be a SKU at all; the catalogue has no others."""
    return _SKU.fullmatch(text) is not None


def has_moved(was: Price, now: Price) -> bool:
    """Whether the price moved by more than 1 % of what it was; exactly 1 % has not, another currency has."""
    return was.currency != now.currency or abs(now.amount_minor - was.amount_minor) * 100 > was.amount_minor


def quantities(lines: Iterable[Wanted]) -> dict[str, int]:
    """Units per SKU, in the order in which the SKUs first appear."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return units


def _of_sku(sku: str, units: int, currency: str, items: Mapping[str, Item], maximum: int) -> list[CartProblem]:
    item = items.get(sku)
    if item is None:
        return [CartProblem(ProblemKind.UNKNOWN_SKU, sku, units)]
    problems: list[CartProblem] = []
    if not item.available:
        problems.append(CartProblem(ProblemKind.NOT_AVAILABLE, sku, units))
    if units > maximum:
        problems.append(CartProblem(ProblemKind.QUANTITY_TOO_LARGE, sku, units, maximum=maximum))
    if currency not in item.prices:
        problems.append(CartProblem(ProblemKind.NO_PRICE_IN_CURRENCY, sku, units))
    return problems
