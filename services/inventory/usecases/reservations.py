"""Reservations of carts for orders to come.

Why: placing an order repeats the checks of the cart at today's prices (R-2.1), and the whole batch shares its reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chassis.db import Transaction
from services.inventory import domain
from services.inventory.store import catalogue
from services.inventory.usecases.orders import apply_to_orders


@dataclass(frozen=True, slots=True)
class Reservation:
    """Hold these lines for an order, all or nothing; `currency` is the one of the frozen prices."""

    order_id: str
    number: int
    lines: tuple[domain.WantedLine, ...]
    currency: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Give a reservation back, or refuse it if it is still under way."""

    order_id: str
    number: int


async def change_reservations(
    tx: Transaction, commands: Sequence[Reservation | Undo], now: datetime, *, hold: timedelta, units_per_sku_max: int
) -> list[domain.Hold | domain.Refused | None]:
    """Reserve and undo in the given order; for each reservation the hold or why not, for each undo None.

    A hold lasts `hold` unless an order comes to own it; `units_per_sku_max` is the most units of a SKU per order.
    """
    wanted = [line.sku for command in commands if isinstance(command, Reservation) for line in command.lines]
    items = await catalogue.read_items(tx, wanted)
    lapses_at = now + hold

    def to_domain(command: Reservation | Undo) -> domain.Command:
        if isinstance(command, Undo):
            return domain.UndoReservation(command.order_id, command.number)
        cart = domain.price_cart(command.lines, command.currency, items, units_per_sku_max)
        return domain.ReserveStock(command.order_id, command.number, cart, lapses_at)

    decisions = await apply_to_orders(tx, [to_domain(command) for command in commands], now)
    return [decision.answer for decision in decisions]
