"""What inventory can be asked to do with the stock of one order.

Why: a call, an event and a deadline become the same commands, so that there is one set of rules for all three.
`caused_by` is the id of the event or call behind a command; it decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.inventory.domain.catalogue import Cart


class LineQuantity(NamedTuple):
    """So many units, at least 1, of one order line."""

    line: int
    sku: str
    quantity: int


Units = tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True)
class ReserveStock:
    """Hold what is in the cart for an order to come, until `lapses_at`; idempotent by reservation number."""

    order_id: str
    reservation: int
    cart: Cart
    lapses_at: datetime
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class UndoReservation:
    """Give back a reservation that no order came to own, and refuse one that is still under way (S-6)."""

    order_id: str
    reservation: int
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class LapseHold:
    """Give back a tentative hold whose time is over at `now`."""

    order_id: str
    now: datetime
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class AttachHold:
    """The order was placed: its hold no longer lapses (S-7)."""

    order_id: str
    reservation: int
    lines: Units
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class CommitStock:
    """Turn the hold into committed stock; without a hold, reserve and commit in one (S-7)."""

    order_id: str
    request_id: str
    round: int
    lines: Units
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseStock:
    """Give back what has not shipped: `lines`, or all of it when there are none."""

    order_id: str
    request_id: str
    round: int
    lines: Units = ()
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class ShipStock:
    """A parcel left with these units."""

    order_id: str
    request_id: str
    shipment_id: str
    lines: Units
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class ReturnStock:
    """These units came back and can be sold again."""

    order_id: str
    request_id: str
    return_id: str
    lines: Units
    caused_by: str = ""


Request = CommitStock | ReleaseStock | ShipStock | ReturnStock
"""Commands that name a request and are answered once."""

Command = ReserveStock | UndoReservation | LapseHold | AttachHold | Request
