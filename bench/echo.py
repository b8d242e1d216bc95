"""A bare echo through our own server: `python -m bench.echo PORT` answers CreateOrder with an order of the usual size.

Why: no order can be placed faster than a call can be answered, so this is the limit of order-create: same server, same
door, same messages, and nothing behind them.
"""

import argparse
import asyncio
import os
from datetime import UTC, datetime

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_pb2, orders_service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceServicer, add_OrdersServiceServicer_to_server

from bench.stamp import stamp
from services.chassis import process
from services.chassis.config import load
from services.chassis.grpc_server import Context, Server
from services.chassis.ids import display_number, new_id, new_order_number
from services.chassis.telemetry import configure_logging
from services.orders.config import OrdersSettings


class Echo(OrdersServiceServicer):
    """Answers with what it was asked, as an order."""

    async def CreateOrder(
        self, request: orders_service_pb2.CreateOrderRequest, context: Context
    ) -> orders_service_pb2.CreateOrderResponse:
        """The order that would have been placed."""
        return orders_service_pb2.CreateOrderResponse(order=echoed(request))


def echoed(request: orders_service_pb2.CreateOrderRequest) -> orders_pb2.Order:
    """An order with everything that a real answer has; only the prices are made up."""
    now, money = stamp(datetime.now(UTC)), common_pb2.Money(amount_minor=1_250, currency=request.currency)
    return orders_pb2.Order(
        order_id=new_id(),
        number=display_number(new_order_number()),
        state=orders_pb2.ORDER_STATE_PENDING,
        payment=orders_pb2.OrderPayment(
            verdict=orders_pb2.PAYMENT_VERDICT_UNPAID, due_minor=1_250, currency=request.currency
        ),
        version=1,
        customer_id=request.customer_id,
        email=request.email,
        shipping_address=request.shipping_address,
        lines=[
            orders_pb2.OrderLine(
                line=number,
                sku=line.sku,
                name=f"Item {line.sku}",
                quantity=line.quantity,
                unit_price=money,
                line_total=money,
                location="london",
            )
            for number, line in enumerate(request.lines, 1)
        ],
        subtotal=money,
        shipping=money,
        total=money,
        cart_id=request.cart_id,
        metadata=request.metadata,
        payment_flow=request.payment_flow,
        created_at=now,
        updated_at=now,
        payable_until=now,
    )


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    os.environ |= {"ONEFOLD_ORDERS_PORT": str(parser.parse_args().port), "ONEFOLD_ORDERS_HEALTH_PORT": "0"}
    settings = load(OrdersSettings)
    configure_logging("echo", settings.log_level)
    server = Server(settings)
    server.add(add_OrdersServiceServicer_to_server, Echo())  # type: ignore[abstract]
    await process.run([server], settings)


if __name__ == "__main__":
    asyncio.run(main())
