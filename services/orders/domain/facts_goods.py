"""Facts of inventory and fulfillment: answers to requests of orders, and what happened to parcels.

Class and field names equal those of the protobuf messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.orders.domain.fact import Fact
from services.orders.domain.order import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class StockFact(Fact):
    """A fact of inventory; an empty `request_id` answers no request."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StockCommitted(StockFact):
    """The stock is the order's."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockUnavailable(StockFact):
    """The stock is not to be had."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReleased(StockFact):
    """Stock was given back."""

    round: int
    lines: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class StockShipped(StockFact):
    """The units of a parcel left the stock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReturned(StockFact):
    """Returned units are in the stock again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentFact(Fact):
    """A fact of fulfillment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentSubmitted(FulfillmentFact):
    """The provider has the order."""

    request_id: str
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentHeld(FulfillmentFact):
    """What has not shipped waits."""

    request_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentHoldRefused(FulfillmentFact):
    """It is too late to hold."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentResumed(FulfillmentFact):
    """It goes on."""

    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentFailed(FulfillmentFact):
    """The provider will not make it; no lines means all that has not shipped."""

    request_id: str
    round: int
    lines: Units = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentCancelled(FulfillmentFact):
    """The answer to a cancellation, or what the provider cancelled by itself (no cancellation id).

    An answer speaks of every unit of the request: what will not ship, and what could not be stopped.
    """

    cancellation_id: str
    cancelled: Units
    not_stoppable: Units = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentCancellationRefused(FulfillmentFact):
    """The answer to a cancellation: nothing could be stopped."""

    cancellation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelFact(FulfillmentFact):
    """A fact about a parcel."""

    shipment_id: str
    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentSent(ParcelFact):
    """A parcel left; `resent`: those of its units that left before."""

    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    resent: Units = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentDelivered(ParcelFact):
    """A parcel arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentFailed(ParcelFact):
    """A parcel was lost or could not be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentReturned(ParcelFact):
    """A parcel came back to the sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnFact(FulfillmentFact):
    """A fact about a return."""

    return_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnAccepted(ReturnFact):
    """The goods may be sent back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRefused(ReturnFact):
    """No return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnReceived(ReturnFact):
    """The goods came back."""

    lines: Units
