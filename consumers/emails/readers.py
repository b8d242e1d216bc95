"""Orders, the owner of names, addresses and lines: asked when a mail is sent.

Why: events never carry them, and what a customer corrected meanwhile is what the mail should say.
"""

import grpc
from onefold.orders.v1 import orders_service_pb2 as orders_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from consumers.emails.mails import Line, Order
from services.chassis.errors import from_rpc_error


class Orders:
    """Calls to orders; `timeout_s` is for one call."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float) -> None:
        self._stub = OrdersServiceStub(channel)
        self._timeout_s = timeout_s

    async def order(self, order_id: str) -> Order:
        """The order as it is now. Raises DomainErrors."""
        request = orders_pb2.GetOrderRequest(order_id=order_id)
        try:
            order = (await self._stub.GetOrder(request, timeout=self._timeout_s)).order
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return Order(
            number=order.number,
            name=order.shipping_address.name,
            email=order.email,
            currency=order.total.currency,
            lines=tuple(
                Line(line.line, line.name, line.quantity, line.unit_price.amount_minor, line.line_total.amount_minor)
                for line in order.lines
            ),
            subtotal_minor=order.subtotal.amount_minor,
            shipping_minor=order.shipping.amount_minor,
            adjustments_minor=order.adjustments.amount_minor,
            total_minor=order.total.amount_minor,
        )
