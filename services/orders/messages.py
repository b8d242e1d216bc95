"""Requests as commands, and orders as messages.

Why: the door translates and decides nothing; names of states equal those of the enums behind their prefix.
"""

from collections.abc import Mapping
from typing import Any, Final

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_pb2, orders_service_pb2

from services.chassis.idempotency import Request, body_of, hash_body
from services.chassis.ids import display_number, new_id
from services.chassis.messages import timestamp
from services.orders.domain import Money
from services.orders.store.reading import OrderView
from services.orders.usecases.commands import CartLine, PaymentWay, PlaceOrder
from services.orders.usecases.placing import METHOD

_FLOWS: Final = {number: name.removeprefix("PAYMENT_FLOW_") for name, number in orders_pb2.PaymentFlow.items()}
ADDRESS: Final = tuple(field.name for field in common_pb2.Address.DESCRIPTOR.fields)


def place_order_of(message: orders_service_pb2.CreateOrderRequest, caller: str) -> PlaceOrder:
    """The command, with a proposed order id. The body is kept for a completer until the order is placed."""
    body = body_of(message)
    return command_of(message, Request(caller, METHOD, message.request_id, hash_body(body), new_id(), body))


def resumed_command_of(request: Request) -> PlaceOrder:
    """The command of a request that was begun before, from the body it kept."""
    return command_of(orders_service_pb2.CreateOrderRequest.FromString(request.body or b""), request)


def command_of(message: orders_service_pb2.CreateOrderRequest, request: Request) -> PlaceOrder:
    """The command that a request means."""
    return PlaceOrder(
        request=request,
        lines=tuple(
            CartLine(
                line.sku,
                line.quantity,
                Money(line.seen_unit_price.amount_minor, line.seen_unit_price.currency)
                if line.HasField("seen_unit_price")
                else None,
            )
            for line in message.lines
        ),
        currency=message.currency,
        customer_id=message.customer_id,
        email=message.email,
        shipping_address={name: getattr(message.shipping_address, name) for name in ADDRESS},
        cart_id=message.cart_id,
        metadata=dict(message.metadata),
        flow=_FLOWS[message.payment_flow],
        capture_method="MANUAL" if message.capture_method == orders_pb2.CAPTURE_METHOD_MANUAL else "AUTOMATIC",
    )


def order_message(view: OrderView) -> orders_pb2.Order:
    """An order as callers see it."""
    return orders_pb2.Order(**order_fields(view))


def order_fields(view: OrderView) -> dict[str, Any]:
    """The fields of an order's message; put into another as they are, they are not copied."""
    root: Mapping[str, Any] = view.root
    currency, reason = root["currency"], root["cancellation_reason"]
    return {
        "order_id": root["order_id"],
        "number": display_number(root["number"]),
        "state": f"ORDER_STATE_{root['state']}",
        "payment": {
            "verdict": f"PAYMENT_VERDICT_{root['payment_verdict']}",
            "authorized_minor": root["payment_authorized_minor"],
            "captured_minor": root["payment_captured_minor"],
            "refunded_minor": root["payment_refunded_minor"],
            "due_minor": root["payment_due_minor"],
            "currency": root["payment_currency"],
        },
        "cancellation": f"CANCELLATION_STATE_{root['cancellation']}",
        "cancellation_reason": f"CANCELLATION_REASON_{reason}" if reason else None,
        "version": root["version"],
        "customer_id": root["customer_id"],
        "email": root["email"],
        "shipping_address": root["shipping_address"],
        "lines": [_line(line, currency) for line in view.lines],
        "subtotal": _money(root["subtotal_minor"], currency),
        "shipping": _money(root["shipping_minor"], currency),
        "adjustments": _money(root["adjustments_minor"], currency),
        "total": _money(root["total_minor"], currency),
        "cart_id": root["cart_id"],
        "metadata": root["metadata"],
        "parcels": [_parcel(parcel) for parcel in view.parcels],
        "history": [_entry(entry) for entry in view.history],
        "payment_flow": f"PAYMENT_FLOW_{root['payment_flow']}",
        "provider_object_ids": view.object_ids,
        "created_at": timestamp(root["created_at"]),
        "updated_at": timestamp(root["updated_at"]),
        "payable_until": timestamp(root["payable_until"]),
    }


def payment_message(way: PaymentWay | None) -> orders_pb2.PaymentInstructions | None:
    """How to pay; None where nothing is to be paid."""
    if way is None:
        return None
    return orders_pb2.PaymentInstructions(
        provider=way.provider,
        provider_object_id=way.provider_object_id,
        client_secret=way.client_secret,
        checkout_url=way.checkout_url,
        attempt_id=way.attempt_id,
    )


def _money(amount_minor: int, currency: str) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": currency}


def _line(line: Mapping[str, Any], currency: str) -> dict[str, Any]:
    price, quantity = line["unit_price_minor"], line["quantity"]
    return {
        "line": line["line"],
        "sku": line["sku"],
        "name": line["name"],
        "quantity": quantity,
        "unit_price": _money(price, currency),
        "line_total": _money(price * quantity, currency),
        "location": line["location"],
        "shipped": line["shipped"],
        "cancelled": line["cancelled"],
    }


def _parcel(parcel: Mapping[str, Any]) -> orders_pb2.Parcel:
    return orders_pb2.Parcel(
        shipment_id=parcel["shipment_id"],
        carrier=parcel["carrier"],
        tracking_number=parcel["tracking_number"],
        tracking_url=parcel["tracking_url"],
        lines=[common_pb2.LineQuantity(**units) for units in parcel["lines"]],
        sent_at=timestamp(parcel["sent_at"]),
        delivered_at=timestamp(parcel["delivered_at"]),
    )


def _entry(entry: Mapping[str, Any]) -> orders_pb2.OrderHistoryEntry:
    message = orders_pb2.OrderHistoryEntry(
        to_state=orders_pb2.OrderState.Value(f"ORDER_STATE_{entry['to_state']}"),
        actor=entry["actor"],
        reason=entry["reason"],
        caused_by=entry["caused_by"],
        occurred_at=timestamp(entry["occurred_at"]),
    )
    if entry["from_state"]:
        message.from_state = orders_pb2.OrderState.Value(f"ORDER_STATE_{entry['from_state']}")
    return message
