"""Printful's words for the states of orders and parcels, in ours.

Why: a vendor adds words without asking; one that we do not know moves nothing, and a person is told of it.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.fulfillment.domain import ProviderState, ShipmentState

# Of an order (F-18); `partial`: some parcels left, the rest is being made.
_ORDER: Final = {
    "draft": ProviderState.DRAFT,
    "pending": ProviderState.PENDING,
    "inreview": ProviderState.IN_PROCESS,
    "inprocess": ProviderState.IN_PROCESS,
    "partial": ProviderState.IN_PROCESS,
    "onhold": ProviderState.ON_HOLD,
    "failed": ProviderState.FAILED,
    "canceled": ProviderState.CANCELED,
    "archived": ProviderState.FULFILLED,
    "fulfilled": ProviderState.FULFILLED,
}

# v2's `shipment_status` alone says whether a parcel left; one in these has not, and one that is canceled never will.
_NOT_SENT: Final = frozenset({"pending", "onhold", "outstock", "packaged", "canceled"})
_SENT: Final = frozenset({"shipped", "returned"})

# v2's `delivery_status` is the courier's word for a parcel that was shipped.
_DELIVERY: Final = {
    "unknown": ShipmentState.SENT,
    "pre_transit": ShipmentState.SENT,
    "in_transit": ShipmentState.SENT,
    "out_for_delivery": ShipmentState.SENT,
    "available_for_pickup": ShipmentState.SENT,
    "delivered": ShipmentState.DELIVERED,
    "return_to_sender": ShipmentState.RETURNED,
    "failure": ShipmentState.FAILED,
    "canceled": ShipmentState.FAILED,
}


def order_state(order: Mapping[str, Any]) -> ProviderState:
    """What the order is there; an unknown word counts as being made, for such an order cannot be cancelled."""
    return _ORDER.get(str(order["status"]), ProviderState.IN_PROCESS)


def parcel_state(parcel: Mapping[str, Any]) -> ShipmentState | None:
    """What became of a parcel of v2; None for one that did not leave, as far as we know."""
    shipment = str(parcel.get("shipment_status"))
    if shipment not in _SENT:
        return None
    if shipment == "returned":
        return ShipmentState.RETURNED
    return _DELIVERY.get(_delivery(parcel), ShipmentState.SENT)


def is_canceled(parcel: Mapping[str, Any]) -> bool:
    """Whether a parcel of v2 was called off, be it after it was shown as shipped."""
    return str(parcel.get("shipment_status")) == "canceled"


def unknown_words(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Words of an order and its parcels that we do not know, each with its field, in ASCII."""
    found = [("status", answer["status"])] if str(answer["status"]) not in _ORDER else []
    for parcel in answer["parcels"]:
        shipment = str(parcel.get("shipment_status"))
        if shipment not in _SENT | _NOT_SENT:
            found.append(("shipment_status", parcel.get("shipment_status")))
        if _delivery(parcel) not in _DELIVERY:
            found.append(("delivery_status", parcel.get("delivery_status")))
    return tuple(dict.fromkeys(f"{field}: {ascii(word)[:100]}" for field, word in found))


def _delivery(parcel: Mapping[str, Any]) -> str:
    """The courier's word; without one nothing is known."""
    return str(parcel.get("delivery_status") or "unknown")
