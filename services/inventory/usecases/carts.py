"""Checks of carts, without holding anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.db import Database, Transaction
from services.inventory import domain
from services.inventory.store import catalogue, levels


@dataclass(frozen=True, slots=True)
class CheckCart:
    """A cart to look at; `currency` is the one of its prices."""

    lines: tuple[domain.WantedLine, ...]
    currency: str


async def check_carts(
    tx: Transaction | Database, carts: Sequence[CheckCart], *, units_per_sku_max: int
) -> list[domain.Cart]:
    """Each cart at today's prices, with all problems of all lines, stock included (R-2.1)."""
    skus = {line.sku for cart in carts for line in cart.lines}
    items = await catalogue.read_items(tx, skus)
    stock = await levels.read_stock(tx, items)
    checked: list[domain.Cart] = []
    for cart in carts:
        priced = domain.price_cart(cart.lines, cart.currency, items, units_per_sku_max)
        checked.append(domain.Cart(priced.lines, domain.check_cart(priced, stock)))
    return checked
