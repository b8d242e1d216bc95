"""What inventory can be asked for: functions that take a transaction and a list of commands.

Why: calls, events and time lead to the same few functions, and each costs a fixed number of statements (DESIGN 3).
"""

from services.inventory.usecases.carts import CheckCart, check_carts
from services.inventory.usecases.catalogue import upsert_items
from services.inventory.usecases.errors import BelowReserved, CartRejected, OrderPlaced, ReservationUndone, UnknownSku
from services.inventory.usecases.levels import adjust_stock
from services.inventory.usecases.orders import apply_to_orders, lapse_holds
from services.inventory.usecases.reservations import Reservation, Undo, change_reservations

__all__ = [
    "BelowReserved",
    "CartRejected",
    "CheckCart",
    "OrderPlaced",
    "Reservation",
    "ReservationUndone",
    "Undo",
    "UnknownSku",
    "adjust_stock",
    "apply_to_orders",
    "change_reservations",
    "check_carts",
    "lapse_holds",
    "upsert_items",
]
