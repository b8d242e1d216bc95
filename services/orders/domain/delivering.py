"""The rules of the saga that look at the stock, the fulfilment and the parcels.

Goods move only when money is there and nobody disputes it; what already left is told and counted, whatever comes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.orders.domain import events
from services.orders.domain.cancelling import begin_once, cancel_units
from services.orders.domain.decision import Advanced, Incident, move
from services.orders.domain.money import ask_back_units
from services.orders.domain.order import Order
from services.orders.domain.policies import FulfillmentFailurePolicy, Policies, StockShortagePolicy
from services.orders.domain.states import (
    CancellationReason,
    FulfillmentState,
    HoldState,
    OrderState,
    ParcelState,
    ReturnState,
    StockState,
)
from services.orders.domain.units import minus, move_units

UNDER_WAY = frozenset({OrderState.PROCESSING, OrderState.SHIPPED})


def hold_lost(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The stock went before the money came."""
    if order.state is not OrderState.PENDING or order.stock is not StockState.UNAVAILABLE:
        return None
    return begin_once(order, now, CancellationReason.STOCK, "inventory")


def shortage(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Confirmed, but the stock is not to be had: the shop's policy says whether to wait (R-1.16)."""
    if order.state is not OrderState.CONFIRMED or order.stock is not StockState.UNAVAILABLE:
        return None
    until = order.progress.backorder_until
    if policies.stock_shortage is StockShortagePolicy.BACKORDER and until is None:
        until = now + policies.backorder_for
        waiting = order.with_progress(backorder_until=until)
        return Advanced(waiting, (events.OrderBackordered(order.number, until),), (Incident("stock_short"),))
    if until is not None and now < until:
        return None
    cancelling = begin_once(order, now, CancellationReason.STOCK, "inventory")
    return cancelling and replace(cancelling, incidents=(Incident("stock_short"),))


def processing(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Paid, committed and undisputed: the goods may be made and sent."""
    ready = order.state is OrderState.CONFIRMED and order.stock is StockState.COMMITTED and order.is_paid
    if not ready or order.dispute_open or order.is_refunded:
        return None
    begun = move(order.asking(order.fulfillment_id), OrderState.PROCESSING, "inventory", "paid, stock committed")
    request = events.FulfillmentRequested(order.fulfillment_id, order.round, order.open_units)
    return replace(begun, events=(events.OrderProcessing(order.number), request))


def hold(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """An open dispute holds what has not shipped; when it is over, that goes on or is cancelled (S-23)."""
    if order.state not in UNDER_WAY or not order.open_units:
        return None
    held = order.progress.hold
    if order.dispute_open and held is HoldState.NONE:
        number = order.progress.holds + 1
        request_id = f"{order.order_id}:hold:{number}"
        asked = order.asking(request_id).with_progress(hold=HoldState.ASKED, holds=number)
        return Advanced(asked, (events.FulfillmentHoldRequested(request_id, "dispute"),))
    if order.dispute_open or held is HoldState.NONE:
        return None
    over = order.with_progress(hold=HoldState.NONE)
    if held is HoldState.REFUSED:
        return Advanced(over)
    request_id = f"{order.order_id}:resume:{order.progress.holds}"
    return Advanced(over.asking(request_id), (events.FulfillmentResumeRequested(request_id),))


def not_made(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The provider failed or cancelled all that has not shipped.

    Before the first parcel the shop's policy decides; later the rest is cancelled. Fulfillment is asked to cancel even
    though it failed: an operator may just be trying again, and only its answer makes sure that nothing ships (S-10).
    """
    failed = order.fulfillment in (FulfillmentState.FAILED, FulfillmentState.CANCELLED)
    if order.state not in UNDER_WAY or not failed or not order.open_units:
        return None
    if not order.any_shipped and policies.fulfillment_failure is FulfillmentFailurePolicy.HOLD:
        return None
    return begin_once(order, now, CancellationReason.STOCK, "fulfillment")


def units_withdrawn(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """The provider cancelled some units for good, others go on: give those back."""
    units = order.progress.withdrawn
    if order.state not in UNDER_WAY or not units or not minus(order.open_units, units):
        return None
    return cancel_units(order, units)


def parcel_sent(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Each parcel is told once, and inventory is asked once to let its units go; sent again they went before."""
    parcel = next((item for item in order.progress.parcels if not item.told), None)
    if parcel is None or order.state not in (UNDER_WAY | {OrderState.DELIVERED}):
        return None
    request_id = f"{order.order_id}:ship:{parcel.shipment_id}"
    parcels = tuple(replace(item, told=True) if item is parcel else item for item in order.progress.parcels)
    order = order.with_progress(parcels=parcels)
    stock: tuple[events.OrderEvent, ...] = ()
    if fresh := minus(parcel.lines, parcel.resent):
        order = order.asking(request_id)
        stock = (events.StockShipRequested(request_id, parcel.shipment_id, fresh),)
    told = Advanced(order)
    if order.state is OrderState.PROCESSING:
        told = move(order, OrderState.SHIPPED, "fulfillment", "a parcel left")
    shipped = events.OrderShipped(
        order.number,
        parcel.shipment_id,
        parcel.carrier,
        parcel.tracking_number,
        parcel.tracking_url,
        parcel.lines,
    )
    return replace(told, events=(shipped, *stock))


def delivered(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Every unit is delivered, cancelled, returned or lost."""
    under_way = any(parcel.state is ParcelState.SENT for parcel in order.progress.parcels)
    if order.state is not OrderState.SHIPPED or order.open_units or under_way:
        return None
    ended = move(
        order,
        OrderState.DELIVERED,
        "fulfillment",
        "all units have arrived or ended",
        progress=replace(order.progress, ended_at=now),
    )
    return replace(ended, events=(events.OrderDelivered(order.number),))


def returned(order: Order, now: datetime, policies: Policies) -> Advanced | None:
    """Goods came back: restocked and refunded, each once (S-21)."""
    back = next(
        (item for item in order.progress.returns if item.state is ReturnState.RECEIVED and not item.settled),
        None,
    )
    if back is None:
        return None
    returns = tuple(replace(item, settled=True) if item is back else item for item in order.progress.returns)
    order = order.with_progress(returns=returns)
    if not back.lines:
        return Advanced(order)
    request_id = f"{order.order_id}:return:{back.return_id}"
    order, refunds, incidents = ask_back_units(order, back.lines, "goods returned")
    order = move_units(order.asking(request_id), back.lines, "returned")
    restock = events.StockReturnRequested(request_id, back.return_id, back.lines)
    return Advanced(order, (restock, *refunds), incidents)
