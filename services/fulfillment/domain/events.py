"""What fulfillment tells the others: one class per message of `fulfillment_events.proto`, same names, same fields.

Why: the door turns them into messages by name, so that a fact is spelled once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fulfillment import Units


@dataclass(frozen=True, slots=True)
class FulfillmentSubmitted:
    """The provider has the order and it is confirmed there."""

    request_id: str
    round: int
    provider_order_id: str


@dataclass(frozen=True, slots=True)
class FulfillmentHeld:
    """What has not shipped waits; `request_id` is empty when nobody asked for it."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class FulfillmentHoldRefused:
    """It is too late to hold."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class FulfillmentResumed:
    """It goes on; `request_id` is empty when nobody asked for it."""

    request_id: str


@dataclass(frozen=True, slots=True)
class FulfillmentFailed:
    """The provider will not make it, or tries ran out; no lines: all that has not shipped."""

    request_id: str
    round: int
    code: str
    reason: str
    lines: Units = ()


@dataclass(frozen=True, slots=True)
class FulfillmentCancelled:
    """An answer, or without a cancellation id the fact that the provider cancelled by itself.

    `cancelled` are all units of the request that will not ship, those of an earlier answer included.
    """

    cancellation_id: str
    request_id: str
    round: int
    cancelled: Units
    not_stoppable: Units


@dataclass(frozen=True, slots=True)
class FulfillmentCancellationRefused:
    """Nothing could be stopped."""

    cancellation_id: str
    request_id: str
    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShipmentSent:
    """A parcel left."""

    shipment_id: str
    request_id: str
    round: int
    carrier: str
    tracking_number: str
    tracking_url: str
    lines: Units
    resent: Units = ()


@dataclass(frozen=True, slots=True)
class ShipmentDelivered:
    """A parcel arrived."""

    shipment_id: str
    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True)
class ShipmentFailed:
    """A parcel was lost or could not be delivered."""

    shipment_id: str
    request_id: str
    round: int
    reason: str
    lines: Units


@dataclass(frozen=True, slots=True)
class ShipmentReturned:
    """A parcel came back."""

    shipment_id: str
    request_id: str
    round: int
    reason: str
    lines: Units


Event = (
    FulfillmentSubmitted
    | FulfillmentHeld
    | FulfillmentHoldRefused
    | FulfillmentResumed
    | FulfillmentFailed
    | FulfillmentCancelled
    | FulfillmentCancellationRefused
    | ShipmentSent
    | ShipmentDelivered
    | ShipmentFailed
    | ShipmentReturned
)
