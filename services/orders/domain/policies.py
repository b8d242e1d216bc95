"""What a shop decides for itself: what to do when a payment, the stock or the provider fails.

Kept as one frozen value, so that `advance()` depends on nothing but its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class PaymentFailurePolicy(StrEnum):
    """R-2.9: payable again until the deadline, or cancelled at once."""

    RETRY = "RETRY"
    CANCEL = "CANCEL"


class StockShortagePolicy(StrEnum):
    """R-1.16: what becomes of a confirmed order whose stock cannot be committed."""

    CANCEL = "CANCEL"
    BACKORDER = "BACKORDER"


class FulfillmentFailurePolicy(StrEnum):
    """What becomes of an order that the provider will not make: an operator decides, or it is cancelled."""

    HOLD = "HOLD"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Policies:
    """Settings of the saga."""

    payment_failure: PaymentFailurePolicy = PaymentFailurePolicy.RETRY
    stock_shortage: StockShortagePolicy = StockShortagePolicy.CANCEL
    fulfillment_failure: FulfillmentFailurePolicy = FulfillmentFailurePolicy.HOLD
    payable_for: timedelta = timedelta(minutes=30)
    """How long an order can be paid after the last attempt (R-2.12)."""
    backorder_for: timedelta = timedelta(days=14)
    """How long a backorder waits for stock."""
    cancellation_alarm: timedelta = timedelta(hours=24)
    """After this an undecided or unanswered cancellation is an incident (S-8, S-9)."""
    archive_after: timedelta | None = None
    """Age at which an ended order is archived; None: by hand only."""
