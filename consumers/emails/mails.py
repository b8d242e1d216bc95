"""A mail, from the event that asks for it to the letter that is sent.

Why: what is kept holds ids and amounts only; names and addresses join it when it is sent, and are not stored here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Details = Mapping[str, Any]
"""What the event said, as JSON holds it: amounts as [minor units, currency], units as [line, SKU, quantity]."""


class Kind(StrEnum):
    """What a mail is about; also the name of its templates."""

    ORDER_CONFIRMED = "order_confirmed"
    PAYMENT_FAILED = "payment_failed"
    ORDER_SHIPPED = "order_shipped"
    ORDER_DELIVERED = "order_delivered"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_PARTIALLY_CANCELLED = "order_partially_cancelled"
    CANCELLATION_REFUSED = "cancellation_refused"
    ORDER_PARTIALLY_REFUNDED = "order_partially_refunded"
    ORDER_REFUNDED = "order_refunded"
    STOCK_LOW = "stock_low"


@dataclass(frozen=True, slots=True)
class PlannedMail:
    """One mail per event; `subject` is the order id, or the SKU of a mail to the shop."""

    event_id: str
    kind: Kind
    subject: str
    details: Details
    occurred_at: datetime

    @property
    def is_for_shop(self) -> bool:
        """Whether it goes to the shop, and not to a customer."""
        return self.kind is Kind.STOCK_LOW


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """A mail that this process sends now; `fence` proves it, `tries` counts this one."""

    mail: PlannedMail
    fence: int
    tries: int


@dataclass(frozen=True, slots=True)
class Line:
    """One order line as a mail shows it; amounts in minor units."""

    number: int
    name: str
    quantity: int
    unit_price_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """What orders says about an order when its mail is sent; `name` and `email` may be empty."""

    number: str
    name: str
    email: str
    currency: str
    lines: tuple[Line, ...]
    subtotal_minor: int
    shipping_minor: int
    adjustments_minor: int
    total_minor: int
