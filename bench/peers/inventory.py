"""The rival's inventory: one reservation is one transaction that locks its rows by SELECT FOR UPDATE.

Why: this is the textbook way to keep stock from going negative.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_events_pb2 as events_pb2
from onefold.inventory.v1 import inventory_pb2, inventory_service_pb2
from onefold.inventory.v1.inventory_service_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)

from bench.peers.serving import Connection, append_event, main
from bench.stamp import stamp
from services.chassis.ids import new_id

HOLD: Final = timedelta(minutes=10)
READ_ITEM: Final = """
SELECT i.name, i.available, p.amount_minor FROM items i JOIN prices p USING (sku) WHERE i.sku = $1 AND p.currency = $2
"""
LOCK_STOCK: Final = """
SELECT location, on_hand, reserved, version FROM stock WHERE sku = $1 ORDER BY location LIMIT 1 FOR UPDATE
"""
SAVE_STOCK: Final = """
UPDATE stock SET reserved = reserved + $3, version = version + 1 WHERE sku = $1 AND location = $2
"""
INSERT_ROOT: Final = "INSERT INTO order_stock (order_id, created_at) VALUES ($1, $2)"
INSERT_HOLD: Final = "INSERT INTO holds (order_id, reservation, state, lapses_at) VALUES ($1, $2, 'TENTATIVE', $3)"
INSERT_LINE: Final = """
INSERT INTO hold_lines (order_id, reservation, line, sku, location, reserved, committed, shipped, released, returned,
                        name, amount_minor, currency)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, $7, $8, $9)
"""
INSERT_LEDGER: Final = """
INSERT INTO stock_ledger (sku, location, kind, on_hand_delta, reserved_delta, shipped_delta, order_id, occurred_at)
VALUES ($1, $2, 'reserved', 0, $3, 0, $4, $5)
"""


class OutOfStock(Exception):
    """There are fewer units than were asked for; the transaction rolls back."""


async def reserve(
    connection: Connection, order_id: str, number: int, lines: Sequence[tuple[int, str, int]], currency: str
) -> list[inventory_pb2.HeldLine]:
    """Hold (line, SKU, units) for an order inside of the caller's transaction. Raises OutOfStock."""
    now = datetime.now(UTC)
    await connection.execute(INSERT_ROOT, order_id, now)
    await connection.execute(INSERT_HOLD, order_id, number, now + HOLD)
    held: list[inventory_pb2.HeldLine] = []
    for line, sku, units in sorted(lines, key=lambda wanted: wanted[1]):  # one order of locks, so no deadlock
        item = await connection.fetchrow(READ_ITEM, sku, currency)
        level = await connection.fetchrow(LOCK_STOCK, sku)
        if item is None or level is None or not item["available"] or level["on_hand"] - level["reserved"] < units:
            raise OutOfStock(sku)
        place = level["location"]
        await connection.execute(SAVE_STOCK, sku, place, units)
        await connection.execute(
            INSERT_LINE, order_id, number, line, sku, place, units, item["name"], item["amount_minor"], currency
        )
        await connection.execute(INSERT_LEDGER, sku, place, units, order_id, now)
        await append_event(connection, _changed(sku, level, units, now), sku, now)
        price = common_pb2.Money(amount_minor=item["amount_minor"], currency=currency)
        held.append(
            inventory_pb2.HeldLine(
                line=line, sku=sku, quantity=units, location=place, name=item["name"], unit_price=price
            )
        )
    await append_event(connection, _reserved(order_id, number, lines, now), order_id, now)
    return held


class Servicer(InventoryServiceServicer):
    """BatchReserveStock with one reservation."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def BatchReserveStock(
        self, request: inventory_service_pb2.BatchReserveStockRequest, context: Any
    ) -> inventory_service_pb2.BatchReserveStockResponse:
        """Each reservation in a transaction of its own."""
        results = []
        for wanted in request.reservations:
            lines = [(line.line, line.sku, line.quantity) for line in wanted.lines]
            async with self._pool.acquire() as connection, connection.transaction():
                held = await reserve(connection, wanted.order_id, wanted.reservation, lines, wanted.currency)
            hold = inventory_pb2.Hold(order_id=wanted.order_id, reservation=wanted.reservation, lines=held)
            results.append(inventory_service_pb2.ReserveStockResult(hold=hold))
        return inventory_service_pb2.BatchReserveStockResponse(results=results)


def _reserved(
    order_id: str, number: int, lines: Sequence[tuple[int, str, int]], now: datetime
) -> events_pb2.StockReserved:
    context = common_pb2.EventContext(order_id=order_id, version=1, occurred_at=stamp(now), caused_by=new_id())
    units = [common_pb2.LineQuantity(line=line, sku=sku, quantity=count) for line, sku, count in lines]
    return events_pb2.StockReserved(context=context, reservation=number, lines=units, lapses_at=stamp(now + HOLD))


def _changed(sku: str, level: Any, units: int, now: datetime) -> events_pb2.StockChanged:
    reserved = level["reserved"] + units
    return events_pb2.StockChanged(
        context=events_pb2.LevelContext(
            sku=sku,
            location=level["location"],
            version=level["version"] + 1,
            occurred_at=stamp(now),
            caused_by=new_id(),
        ),
        on_hand=level["on_hand"],
        reserved=reserved,
        available=level["on_hand"] - reserved,
    )


def _make(pool: "asyncpg.Pool[asyncpg.Record]") -> tuple[Any, object]:
    return add_InventoryServiceServicer_to_server, Servicer(pool)  # type: ignore[abstract]


if __name__ == "__main__":
    main("inventory", _make)
