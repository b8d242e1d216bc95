"""The rival's orders: claim the key, call inventory, place the order; each step a transaction of its own.

Why: it keeps the same promises as ours (one order per request, stock first, the event with the order), so that only the
way of doing it differs.
"""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import grpc.aio
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2, inventory_service_pb2
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1 import orders_events_pb2, orders_pb2, orders_service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceServicer, add_OrdersServiceServicer_to_server

from bench.peers.serving import Connection, append_event, main
from bench.stamp import stamp
from services.chassis.ids import display_number, new_id, new_order_number

CALLER: Final = "demo"
SHIPPING_MINOR: Final = 395
PAYABLE: Final = timedelta(minutes=30)
CLAIM: Final = """
INSERT INTO idempotency_keys (caller, method, request_id, body_hash, subject, phase, holder, lease_until)
VALUES ($1, 'CreateOrder', $2, $3, $4, 'CLAIMED', $4, clock_timestamp() + interval '30 seconds')
ON CONFLICT DO NOTHING RETURNING 1
"""
FINISH: Final = """
UPDATE idempotency_keys SET phase = 'DONE', answer = $3, updated_at = clock_timestamp()
 WHERE caller = $1 AND method = 'CreateOrder' AND request_id = $2 AND phase = 'CLAIMED'
"""
# One statement, for the order and its first history entry refer to each other.
INSERT_ORDER: Final = """
WITH root AS (
    INSERT INTO orders (order_id, number, caller, request_id, body_hash, state, changes, version, round, reservation,
        customer_id, email, shipping_address, cart_id, metadata, payment_flow, capture_method, currency, subtotal_minor,
        shipping_minor, adjustments_minor, total_minor, payment_verdict, payment_due_minor, payment_currency,
        payment_authorized_minor, payment_captured_minor, payment_refunded_minor, payment_refund_pending_minor,
        payment_currency_differs, payment_dispute, payment_version, stock, fulfillment, cancellation,
        cancellation_number, cancellation_answers, progress, payable_until, first_payable_until, due_at, created_at,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, 'PENDING', 1, 1, 1, 1, $6, $7, $8, $9, $10, 'DEFERRED', 'AUTOMATIC', $11::text, $12,
        $13, 0, $14, 'UNPAID', $14, $11::text, 0, 0, 0, 0, false, 'NONE', 0, 'NONE', 'NONE', 'NONE', 0, '{}', '{}', $15,
        $15, $15, $16, $16)
)
INSERT INTO order_history (order_id, number, to_state, actor, reason, occurred_at, caused_by, version)
VALUES ($1, 1, 'PENDING', 'system', 'placed', $16, $4, 1)
"""
INSERT_LINE: Final = """
INSERT INTO order_lines (order_id, line, sku, name, location, quantity, unit_price_minor, shipped, cancelled, released,
                         returned)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0)
"""


class Servicer(OrdersServiceServicer):
    """CreateOrder without a payment."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", inventory: InventoryServiceStub) -> None:
        self._pool = pool
        self._inventory = inventory

    async def CreateOrder(
        self, request: orders_service_pb2.CreateOrderRequest, context: Any
    ) -> orders_service_pb2.CreateOrderResponse:
        """Claim, reserve, place."""
        order_id, body_hash = new_id(), hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        async with self._pool.acquire() as connection:  # one statement is a transaction of its own
            if not await connection.fetchval(CLAIM, CALLER, request.request_id, body_hash, order_id):
                await context.abort(grpc.StatusCode.ALREADY_EXISTS, "the request id is in use")
        wanted = inventory_service_pb2.ReserveStock(order_id=order_id, reservation=1, currency=request.currency)
        for number, line in enumerate(request.lines, 1):
            wanted.lines.add(line=number, sku=line.sku, quantity=line.quantity)
        answer = await self._inventory.BatchReserveStock(
            inventory_service_pb2.BatchReserveStockRequest(reservations=[wanted]), timeout=10
        )
        async with self._pool.acquire() as connection, connection.transaction():
            order = await place(connection, request, order_id, body_hash, list(answer.results[0].hold.lines))
        return orders_service_pb2.CreateOrderResponse(order=order)


async def place(
    connection: Connection,
    request: orders_service_pb2.CreateOrderRequest,
    order_id: str,
    body_hash: bytes,
    held: list[inventory_pb2.HeldLine],
) -> orders_pb2.Order:
    """Insert the order with its lines and its event, and finish the key; statement by statement."""
    now, number, currency = datetime.now(UTC), new_order_number(), request.currency
    until = now + PAYABLE
    subtotal = sum(line.unit_price.amount_minor * line.quantity for line in held)
    address = {field.name: value for field, value in request.shipping_address.ListFields()}
    await connection.execute(
        INSERT_ORDER,
        *(order_id, number, CALLER, request.request_id, body_hash, request.customer_id, request.email),
        *(json.dumps(address), request.cart_id, json.dumps(dict(request.metadata)), currency),
        *(subtotal, SHIPPING_MINOR, subtotal + SHIPPING_MINOR, until, now),
    )
    for line in held:
        await connection.execute(
            INSERT_LINE,
            *(order_id, line.line, line.sku, line.name, line.location, line.quantity, line.unit_price.amount_minor),
        )
    total = common_pb2.Money(amount_minor=subtotal + SHIPPING_MINOR, currency=currency)
    created = orders_events_pb2.OrderCreated(
        context=common_pb2.EventContext(
            order_id=order_id, version=1, occurred_at=stamp(now), caused_by=request.request_id
        ),
        number=number,
        reservation=1,
        lines=[common_pb2.LineQuantity(line=line.line, sku=line.sku, quantity=line.quantity) for line in held],
        total=total,
        payable_until=stamp(until),
    )
    await append_event(connection, created, order_id, now)
    await connection.execute(FINISH, CALLER, request.request_id, order_id.encode())
    return orders_pb2.Order(
        order_id=order_id,
        number=display_number(number),
        state=orders_pb2.ORDER_STATE_PENDING,
        payment=orders_pb2.OrderPayment(
            verdict=orders_pb2.PAYMENT_VERDICT_UNPAID, due_minor=total.amount_minor, currency=currency
        ),
        version=1,
        customer_id=request.customer_id,
        email=request.email,
        shipping_address=request.shipping_address,
        lines=[_line(line, currency) for line in held],
        subtotal=common_pb2.Money(amount_minor=subtotal, currency=currency),
        shipping=common_pb2.Money(amount_minor=SHIPPING_MINOR, currency=currency),
        total=total,
        cart_id=request.cart_id,
        metadata=request.metadata,
        payment_flow=request.payment_flow,
        created_at=stamp(now),
        updated_at=stamp(now),
        payable_until=stamp(until),
    )


def _line(line: inventory_pb2.HeldLine, currency: str) -> orders_pb2.OrderLine:
    total = common_pb2.Money(amount_minor=line.unit_price.amount_minor * line.quantity, currency=currency)
    return orders_pb2.OrderLine(
        line=line.line,
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        unit_price=line.unit_price,
        line_total=total,
        location=line.location,
    )


def _make(pool: "asyncpg.Pool[asyncpg.Record]") -> tuple[Any, object]:
    inventory = grpc.aio.insecure_channel(os.environ["BENCH_PEER_INVENTORY"])
    return add_OrdersServiceServicer_to_server, Servicer(pool, InventoryServiceStub(inventory))  # type: ignore[abstract]


if __name__ == "__main__":
    main("orders", _make)
