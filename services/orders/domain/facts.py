"""What the three partners tell orders: facts, which are also the answers to requests.

One name to import from, whatever the partner; `version` in each is the sender's root version.
"""

from __future__ import annotations

from typing import Final

from services.orders.domain.fact import Fact
from services.orders.domain.facts_goods import (
    FulfillmentCancellationRefused,
    FulfillmentCancelled,
    FulfillmentFact,
    FulfillmentFailed,
    FulfillmentHeld,
    FulfillmentHoldRefused,
    FulfillmentResumed,
    FulfillmentSubmitted,
    ParcelFact,
    ReturnAccepted,
    ReturnFact,
    ReturnReceived,
    ReturnRefused,
    ShipmentDelivered,
    ShipmentFailed,
    ShipmentReturned,
    ShipmentSent,
    StockCommitted,
    StockFact,
    StockReleased,
    StockReturned,
    StockShipped,
    StockUnavailable,
)
from services.orders.domain.facts_payments import (
    DisputeClosed,
    DisputeOpened,
    PaymentAuthorizationExpired,
    PaymentAuthorized,
    PaymentCanceled,
    PaymentCancellationDelayed,
    PaymentCancellationSettled,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentCreated,
    PaymentExcessReceived,
    PaymentFact,
    PaymentFailed,
    PaymentMismatched,
    PaymentProcessing,
    PaymentRequiresAction,
    PaymentShareSucceeded,
    PaymentSucceeded,
    RefundFailed,
    RefundPending,
    RefundSucceeded,
    Snapshot,
)

IGNORED_EVENTS: Final[frozenset[str]] = frozenset(
    {"StockReserved", "StockLow", "StockChanged", "CatalogueChanged", "IncidentRaised", "IncidentResolved"}
)
"""Events on the topics of the partners that are claimed and move no order (S-1)."""

__all__ = [
    "IGNORED_EVENTS",
    "DisputeClosed",
    "DisputeOpened",
    "Fact",
    "FulfillmentCancellationRefused",
    "FulfillmentCancelled",
    "FulfillmentFact",
    "FulfillmentFailed",
    "FulfillmentHeld",
    "FulfillmentHoldRefused",
    "FulfillmentResumed",
    "FulfillmentSubmitted",
    "ParcelFact",
    "PaymentAuthorizationExpired",
    "PaymentAuthorized",
    "PaymentCanceled",
    "PaymentCancellationDelayed",
    "PaymentCancellationSettled",
    "PaymentCaptureFailed",
    "PaymentCaptured",
    "PaymentCreated",
    "PaymentExcessReceived",
    "PaymentFact",
    "PaymentFailed",
    "PaymentMismatched",
    "PaymentProcessing",
    "PaymentRequiresAction",
    "PaymentShareSucceeded",
    "PaymentSucceeded",
    "RefundFailed",
    "RefundPending",
    "RefundSucceeded",
    "ReturnAccepted",
    "ReturnFact",
    "ReturnReceived",
    "ReturnRefused",
    "ShipmentDelivered",
    "ShipmentFailed",
    "ShipmentReturned",
    "ShipmentSent",
    "Snapshot",
    "StockCommitted",
    "StockFact",
    "StockReleased",
    "StockReturned",
    "StockShipped",
    "StockUnavailable",
]
