"""What must hold when nothing more has to happen (S-32).

The truth is taken from outside: money from the provider, goods from the parcels that left, units from the stock rows.
"""

from __future__ import annotations

from typing import Any

from services.orders.domain import CancellationState, Order, OrderState, StockState
from services.orders.domain.money import asked_back
from services.orders.domain.units import with_customer
from tests.model.fulfillment_machine import FulfillmentValue
from tests.model.inventory_machine import InventoryValue
from tests.model.orders_machine import OrdersValue, is_live
from tests.model.payments_machine import ENDED, PaymentsValue
from tests.model.shares_machine import SharesValue

Payments = PaymentsValue | SharesValue
WITHOUT_GOODS = (OrderState.CANCELLED, OrderState.REFUNDED)


def at_rest(values: dict[str, Any]) -> str:
    """What is wrong, or nothing."""
    orders: OrdersValue = values["orders"]
    payments: Payments = values["payments"]
    inventory: InventoryValue = values["inventory"]
    fulfillment: FulfillmentValue = values["fulfillment"]
    incidents = orders.incidents | payments.incidents | fulfillment.incidents
    checks = (
        _waiting(orders.order, incidents),
        _money(orders.order, payments, fulfillment, incidents),
        _stock(orders.order, inventory, fulfillment),
        _agreement(orders.order, payments),
    )
    return "; ".join(check for check in checks if check)


def ending(values: dict[str, Any]) -> str:
    """How it ended, for the report."""
    orders: OrdersValue = values["orders"]
    name = str(orders.order.state)
    if orders.order.cancellation.state is CancellationState.DONE:
        name = f"{name}({orders.order.cancellation.reason})"
    if orders.order.round > 1:
        name += " reopened"
    return f"{name}!" if orders.incidents else name


def _waiting(order: Order, incidents: frozenset[str]) -> str:
    if order.cancellation.state is CancellationState.REQUESTED:
        return "a cancellation waits for ever"
    if order.waiting_for and not _excused(order):
        return f"no answer to {', '.join(order.waiting_for)}"
    if is_live(order) and not incidents:
        return f"{order.state} waits for ever without an incident"
    return ""


def _excused(order: Order) -> bool:
    """Requests that need no answer any more: a cancelled order's, a capture (its fact is the answer), a hold."""
    kinds = {request.split(":")[1] for request in order.waiting_for}
    if order.cancellation.state is CancellationState.DONE or order.stock is StockState.UNAVAILABLE:
        kinds -= {"fulfil", "commit"}
    return kinds <= {"capture", "hold", "resume", "fulfil"}


def _money(order: Order, payments: Payments, fulfillment: FulfillmentValue, incidents: frozenset[str]) -> str:
    kept, left = payments.stripe.kept(), fulfillment.left()
    ours = sum(r.amount.amount_minor for r in payments.stripe.refunds if r.ours and r.state == "SUCCEEDED")
    captured = sum(intent.captured for intent in payments.stripe.intents)
    owed = asked_back(order)
    with_goods = sum(unit.quantity for unit in with_customer(order))
    if left and captured and ours >= captured and with_goods:
        return "goods and full refund"
    if left and kept <= 0 and with_goods and not incidents:
        return "goods without money and without an incident"
    if order.state in WITHOUT_GOODS and kept > (owed if "refund_failed" in incidents else 0):
        return f"{kept} kept although the order is {order.state}"
    if order.state in WITHOUT_GOODS and left and order.cancellation.state is CancellationState.DONE:
        return f"goods left although the order is {order.state}"
    if kept < 0:
        return f"{-kept} more given back than taken"
    prices = {line.line: line.unit_price_minor for line in order.lines}
    worth = sum(unit.quantity * prices[unit.line] for unit in with_customer(order))
    elsewhere = payments.stripe.disputes or any(not refund.ours for refund in payments.stripe.refunds)
    if order.state is OrderState.DELIVERED and kept < worth and not elsewhere:
        return f"goods worth {worth} for {kept}"
    shipped = sum(line.shipped * line.unit_price_minor for line in order.lines)
    open_ = sum(line.open * line.unit_price_minor for line in order.lines)
    rounded = payments.unit - 1 if isinstance(payments, PaymentsValue) and open_ + with_goods else 0
    if order.state is OrderState.DELIVERED and kept > shipped + open_ + rounded and not incidents:
        return f"{kept} kept for goods worth {shipped}"
    if owed > max(0, kept):
        return f"orders counts {owed} as still to be given back, of {kept} that are kept"
    alive = any(intent.state not in ENDED for intent in payments.stripe.intents)
    if alive and order.cancellation.state is CancellationState.DONE:
        return "a payment can still be made although the order is cancelled"
    return ""


def _stock(order: Order, inventory: InventoryValue, fulfillment: FulfillmentValue) -> str:
    reserved = sum(held.open for hold in inventory.order.holds for held in hold.lines)
    shipped = sum(held.shipped for hold in inventory.order.holds for held in hold.lines)
    if not is_live(order) and reserved:
        return f"a hold of {reserved} is left although the order is {order.state}"
    if shipped != fulfillment.left():
        return f"{fulfillment.left()} units left the house, {shipped} left the books"
    return ""


def _agreement(order: Order, payments: Payments) -> str:
    """Every fact has arrived: orders knows what the provider knows."""
    captured = sum(intent.captured for intent in payments.stripe.intents)
    if order.payment.captured_minor != captured:
        return f"orders knows of {order.payment.captured_minor} captured, the provider of {captured}"
    return ""
