"""States, verdicts and the legal pairs of order states.

The names equal those of the protobuf enums without their prefix, so that doors and SQL checks need no second table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class OrderState(StrEnum):
    """Lifecycle of an order (R-2.3)."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"
    ARCHIVED = "ARCHIVED"


TRANSITIONS: Final[frozenset[tuple[OrderState | None, OrderState]]] = frozenset(
    {
        (None, OrderState.PENDING),
        (OrderState.PENDING, OrderState.CONFIRMED),
        (OrderState.PENDING, OrderState.CANCELLED),
        (OrderState.PENDING, OrderState.REFUNDED),
        (OrderState.CONFIRMED, OrderState.PROCESSING),
        (OrderState.CONFIRMED, OrderState.CANCELLED),
        (OrderState.CONFIRMED, OrderState.REFUNDED),
        (OrderState.PROCESSING, OrderState.SHIPPED),
        (OrderState.PROCESSING, OrderState.CANCELLED),
        (OrderState.PROCESSING, OrderState.REFUNDED),
        (OrderState.SHIPPED, OrderState.DELIVERED),
        (OrderState.SHIPPED, OrderState.REFUNDED),
        (OrderState.DELIVERED, OrderState.REFUNDED),
        (OrderState.DELIVERED, OrderState.ARCHIVED),
        (OrderState.CANCELLED, OrderState.CONFIRMED),
        (OrderState.CANCELLED, OrderState.ARCHIVED),
        (OrderState.REFUNDED, OrderState.ARCHIVED),
    }
)
"""Legal (from, to) pairs; None is the state of an order that does not exist yet."""


class PaymentVerdict(StrEnum):
    """What payments says about the payable, over all attempts."""

    UNPAID = "UNPAID"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PAID = "PAID"
    MISMATCHED = "MISMATCHED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class DisputeState(StrEnum):
    """Where a dispute stands."""

    NONE = "NONE"
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class StockState(StrEnum):
    """Inventory's answer to the commit of the present round."""

    NONE = "NONE"
    COMMITTED = "COMMITTED"
    UNAVAILABLE = "UNAVAILABLE"


class FulfillmentState(StrEnum):
    """Fulfillment's answer to the request of the present round."""

    NONE = "NONE"
    SUBMITTED = "SUBMITTED"
    HELD = "HELD"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class CancellationState(StrEnum):
    """Where a cancellation stands (S-8)."""

    NONE = "NONE"
    PROPOSED = "PROPOSED"
    REQUESTED = "REQUESTED"
    DONE = "DONE"


class CancellationReason(StrEnum):
    """Why an order is cancelled."""

    CUSTOMER = "CUSTOMER"
    ADMIN = "ADMIN"
    EXPIRED = "EXPIRED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    STOCK = "STOCK"
    REFUNDED = "REFUNDED"
    DISPUTE_LOST = "DISPUTE_LOST"


class CancellationOutcome(StrEnum):
    """Payments' one answer to a cancellation (S-9)."""

    NOTHING_TAKEN = "NOTHING_TAKEN"
    MONEY_TAKEN = "MONEY_TAKEN"


class RefundState(StrEnum):
    """How far a refund that orders asked for has come."""

    ASKED = "ASKED"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class ParcelState(StrEnum):
    """Where a parcel is."""

    SENT = "SENT"
    FAILED = "FAILED"
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"


class ReturnState(StrEnum):
    """How far a return has come (S-21)."""

    REQUESTED = "REQUESTED"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    RECEIVED = "RECEIVED"


class HoldState(StrEnum):
    """Whether fulfillment was asked to hold what has not shipped (S-23)."""

    NONE = "NONE"
    ASKED = "ASKED"
    HELD = "HELD"
    REFUSED = "REFUSED"


class Outcome(StrEnum):
    """What became of a fact (S-25)."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    CONTRADICTION = "CONTRADICTION"
