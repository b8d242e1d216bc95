"""What inventory can be asked to do with the stock of one order.

Why: a call, an event and a deadline become the same commands, so that there is one set of rules for all three.
`caused_by` is the id of the event or call behind a command; it decides nothing.
"""

from datetime import datetime
from typing import NamedTuple

from services.inventory.domain.catalogue import Cart


class LineQuantity(NamedTuple):
    """So many units, at least 1, of one order line."""

    line: int
    sku: str
    quantity: int


Units = tuple[LineQuantity, ...]


class ReserveStock(NamedTuple):
    """Hold what is in the cart for an order to come, until `lapses_at`; idempotent by reservation number."""

    order_id: str
    reservation: int
    cart: Cart
    lapses_at: datetime
    caused_by: str = ""


class UndoReservation(NamedTuple):
    """Give back a reservation that no order came to own, and refuse one that is still under way (S-6)."""

    order_id: str
    reservation: int
    caused_by: str = ""


class LapseHold(NamedTuple):
    """Give back a tentative hold whose time is over at `now`."""

    order_id: str
    now: datetime
    caused_by: str = ""


class AttachHold(NamedTuple):
    """The order was placed: its hold no longer lapses (S-7)."""

    order_id: str
    reservation: int
    lines: Units
    caused_by: str = ""


class CommitStock(NamedTuple):
    """Turn the hold into committed stock; without a hold, reserve and commit in one (S-7)."""

    order_id: str
    request_id: str
    round: int
    lines: Units
    caused_by: str = ""


class ReleaseStock(NamedTuple):
    """Give back what has not shipped: `lines`, or all of it when there are none."""

    order_id: str
    request_id: str
    round: int
    lines: Units = ()
    caused_by: str = ""


class ShipStock(NamedTuple):
    """A parcel left with these units."""

    order_id: str
    request_id: str
    shipment_id: str
    lines: Units
    caused_by: str = ""


class ReturnStock(NamedTuple):
    """These units came back and can be sold again."""

    order_id: str
    request_id: str
    return_id: str
    lines: Units
    caused_by: str = ""


Request = CommitStock | ReleaseStock | ShipStock | ReturnStock
"""Commands that name a request and are answered once."""

Command = ReserveStock | UndoReservation | LapseHold | AttachHold | Request
