"""Levels and the ledger of their changes.

Why: a level and its ledger entries are written by one statement, so their sums agree (R-3.3), and rows are locked by
SKU and location, so that two orders with the same SKUs in opposite order wait for each other and never deadlock.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.chassis.db import Database, Transaction
from services.inventory.domain import (
    DEFAULT_LOW_STOCK_THRESHOLD,
    Movement,
    MovementKind,
    Stock,
    StockRow,
    is_sku,
    stock_of,
)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the stock ledger."""

    position: int
    movement: Movement
    reason: str
    actor: str
    occurred_at: datetime


async def lock_stock(tx: Transaction, skus: Collection[str]) -> Stock:
    """The rows of these SKUs at all locations, locked until the transaction ends."""
    if not skus:
        return {}
    return stock_of(_row(row) for row in await tx.fetch(LOCK_STOCK, list(skus)))


async def read_stock(tx: Transaction | Database, skus: Iterable[str]) -> Stock:
    """The rows of these SKUs at all locations, without locks."""
    return stock_of(_row(row) for row in await tx.fetch(READ_STOCK, list({sku for sku in skus if is_sku(sku)})))


async def add_missing_rows(tx: Transaction, places: Collection[tuple[str, str]]) -> None:
    """Make rows at zero for pairs of SKU and location that have none; every SKU must be in the catalogue."""
    await tx.execute(ADD_MISSING_ROWS, [sku for sku, _ in places], [location for _, location in places])


async def save_stock(
    tx: Transaction,
    rows: Sequence[StockRow],
    movements: Sequence[Movement],
    now: datetime,
    *,
    reason: str = "",
    actor: str = "",
) -> None:
    """Write locked rows, and the movements that made them what they are, in their order."""
    if not movements:
        return
    await tx.execute(
        SAVE_STOCK,
        [row.sku for row in rows],
        [row.location for row in rows],
        [row.on_hand for row in rows],
        [row.reserved for row in rows],
        [row.shipped for row in rows],
        [row.version for row in rows],
        [row.is_low for row in rows],
        movements,
        reason,
        actor,
        now,
    )


async def list_ledger(database: Database, sku: str, order_id: str, after: int, limit: int) -> list[LedgerEntry]:
    """At most `limit` entries behind position `after`, oldest first; an empty SKU or order id means all."""
    return [_entry(row) for row in await database.fetch(LIST_LEDGER, sku, order_id, after, limit)]


def _row(row: asyncpg.Record) -> StockRow:
    sku, location, on_hand, reserved, shipped, version, threshold, is_low = row
    return StockRow(
        sku, location, on_hand, reserved, shipped, version, threshold or DEFAULT_LOW_STOCK_THRESHOLD, is_low
    )


def _entry(row: asyncpg.Record) -> LedgerEntry:
    movement = Movement(
        row["sku"],
        row["location"],
        MovementKind(row["kind"]),
        row["order_id"],
        row["on_hand_delta"],
        row["reserved_delta"],
        row["shipped_delta"],
    )
    return LedgerEntry(row["position"], movement, row["reason"], row["actor"], row["occurred_at"])


_SELECT = """
SELECT s.sku, s.location, s.on_hand, s.reserved, s.shipped, s.version, i.low_stock_threshold, s.is_low
  FROM stock s JOIN items i ON i.sku = s.sku
 WHERE s.sku = ANY($1::text[])
 ORDER BY s.sku, s.location
"""

READ_STOCK = _SELECT

# Locks are taken after sorting, so in the order of SKU and location (S-4); a row that was waited for is read anew.
LOCK_STOCK = f"{_SELECT} FOR NO KEY UPDATE OF s"

ADD_MISSING_ROWS = """
INSERT INTO stock (sku, location)
SELECT DISTINCT sku, location FROM unnest($1::text[], $2::text[]) AS r (sku, location) ORDER BY sku, location
ON CONFLICT (sku, location) DO NOTHING
"""

SAVE_STOCK = """
WITH levels AS (
    UPDATE stock s
       SET on_hand = r.on_hand, reserved = r.reserved, shipped = r.shipped, version = r.version, is_low = r.is_low
      FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[])
           AS r (sku, location, on_hand, reserved, shipped, version, is_low)
     WHERE s.sku = r.sku AND s.location = r.location
)
INSERT INTO stock_ledger
    (sku, location, kind, on_hand_delta, reserved_delta, shipped_delta, order_id, reason, actor, occurred_at)
SELECT sku, location, kind, on_hand, reserved, shipped, order_id, $9, $10, $11
  FROM unnest($8::movement_row[])
       WITH ORDINALITY AS m (sku, location, kind, order_id, on_hand, reserved, shipped, place)
 ORDER BY place
"""

LIST_LEDGER = """
SELECT position, sku, location, kind, on_hand_delta, reserved_delta, shipped_delta, order_id, reason, actor, occurred_at
  FROM stock_ledger
 WHERE position > $3 AND ($1 = '' OR sku = $1) AND ($2 = '' OR order_id = $2)
 ORDER BY position
 LIMIT $4
"""
