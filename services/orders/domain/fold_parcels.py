"""How facts about parcels move units: open ones become shipped, and a parcel goes on until it arrived or came back.

A parcel may be seen for the first time when it is already delivered; it counts as sent all the same. What a parcel did
not bring may be sent again in another.
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain import facts
from services.orders.domain.decision import Folded, Incident
from services.orders.domain.fold_fulfillment import contradiction
from services.orders.domain.order import Order, Parcel
from services.orders.domain.states import CancellationState, OrderState, Outcome, ParcelState
from services.orders.domain.units import minus, move_units, returnable

NEXT: dict[ParcelState, frozenset[ParcelState]] = {
    ParcelState.SENT: frozenset({ParcelState.FAILED, ParcelState.DELIVERED, ParcelState.RETURNED}),
    ParcelState.FAILED: frozenset({ParcelState.DELIVERED, ParcelState.RETURNED}),
    ParcelState.DELIVERED: frozenset({ParcelState.RETURNED}),
    ParcelState.RETURNED: frozenset(),
}
"""A failure never overwrites a delivery; what came back stays back."""

STATES: dict[type[facts.ParcelFact], ParcelState] = {
    facts.ShipmentSent: ParcelState.SENT,
    facts.ShipmentDelivered: ParcelState.DELIVERED,
    facts.ShipmentFailed: ParcelState.FAILED,
    facts.ShipmentReturned: ParcelState.RETURNED,
}

INCIDENTS: dict[ParcelState, str] = {
    ParcelState.FAILED: "parcel_lost",
    ParcelState.RETURNED: "parcel_returned",
}
"""A person decides whether such goods are sent again or refunded."""


WITHOUT_PARCELS = frozenset({OrderState.REFUNDED, OrderState.ARCHIVED})
"""Whatever leaves then is for a person."""


def fold_parcel(order: Order, fact: facts.ParcelFact) -> Folded:
    """Move the parcel, or count a new one."""
    state = STATES[type(fact)]
    kind = INCIDENTS.get(state)
    incidents = (Incident(kind, fact.shipment_id),) if kind else ()
    known = next((parcel for parcel in order.progress.parcels if parcel.shipment_id == fact.shipment_id), None)
    if known is None:
        return _first_seen(order, fact, state, incidents)
    if state not in NEXT[known.state]:
        return Folded(order, Outcome.STALE)
    parcel = replace(known, state=state)
    parcels = tuple(parcel if item is known else item for item in order.progress.parcels)
    return Folded(order.with_progress(parcels=parcels), Outcome.APPLIED, incidents)


def _first_seen(order: Order, fact: facts.ParcelFact, state: ParcelState, incidents: tuple[Incident, ...]) -> Folded:
    """Units that were cancelled, or never asked for, must not leave: if they do, the money is wrong.

    Units that are sent again must have left and not be given back, neither as goods nor as money; they count once.
    """
    resent = fact.resent if isinstance(fact, facts.ShipmentSent) else ()
    fresh = minus(fact.lines, resent)
    asked = fact.request_id == order.fulfillment_id and order.was_asked(fact.request_id)
    ended = order.cancellation.state is CancellationState.DONE or order.state in WITHOUT_PARCELS
    if not asked or ended or minus(fresh, order.open_units) or minus(resent, returnable(order)):
        return contradiction(order, fact, fact.shipment_id)
    parcel = Parcel(fact.shipment_id, state, fact.lines, resent=resent)
    if isinstance(fact, facts.ShipmentSent):
        parcel = replace(
            parcel, carrier=fact.carrier, tracking_number=fact.tracking_number, tracking_url=fact.tracking_url
        )
    order = move_units(order, fresh, "shipped")
    order = order.with_progress(parcels=(*order.progress.parcels, parcel), submitted=True)
    return Folded(order, Outcome.APPLIED, incidents)
