"""The stock of orders: roots, holds with their lines, answered requests.

Why: the root is locked before anything else is read (S-3), so a loaded order is the present one; whatever a batch of
orders became is written by one statement.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import asyncpg

from services.chassis.db import Database, Transaction
from services.inventory.domain import Hold, HoldLine, HoldState, OrderStock, Price


@dataclass(frozen=True, slots=True)
class Changes:
    """Roots, and rows of holds, their lines and answered requests, in the order in which they were made."""

    roots: list[OrderStock]
    holds: list[tuple[str, int, str, datetime | None]]
    lines: list[tuple[Any, ...]]
    requests: list[tuple[str, str]]


async def lock_orders(
    tx: Transaction, order_ids: Collection[str], requests: Iterable[tuple[str, str]], now: datetime
) -> dict[str, OrderStock]:
    """The roots, locked and made where missing, with all holds and those of `requests` that were answered.

    `requests` are pairs of order id and request id.
    """
    roots = await tx.fetch(LOCK_ROOTS, list(order_ids), now)
    known = {row["order_id"] for row in roots if not row["is_new"]}
    holds = await _load_holds(tx, list(known)) if known else {}
    asked = [request for request in requests if request[0] in known]
    answered = await _load_answered(tx, asked) if asked else {}
    return {
        order_id: OrderStock(
            order_id,
            0 if is_new else version,
            placed,
            released_round,
            holds.get(order_id, ()),
            answered.get(order_id, frozenset()),
        )
        for order_id, version, placed, released_round, is_new in roots
    }


def changes(before: Mapping[str, OrderStock], after: Mapping[str, OrderStock]) -> Changes:
    """What `save_orders` has to write of locked orders."""
    changed = [order for order_id, order in after.items() if order is not before[order_id]]
    holds: list[tuple[str, int, str, datetime | None]] = []
    lines: list[tuple[Any, ...]] = []
    requests: list[tuple[str, str]] = []
    for order in changed:
        order_id, old = order.order_id, before[order.order_id]
        kept = set(map(id, old.holds))
        for hold in order.holds:
            if id(hold) not in kept:
                holds.append((order_id, hold.reservation, hold.state, hold.lapses_at))
                lines += (_line_row(order_id, hold.reservation, line) for line in hold.lines)
        requests += ((order_id, request) for request in order.answered - old.answered)
    # A new root that only got its first hold is as it was inserted.
    roots = [order for order in changed if order.version > 1 or order.placed or order.released_round]
    return Changes(roots, holds, lines, requests)


async def save_orders(tx: Transaction, changes: Changes, now: datetime) -> None:
    """Write what changed of locked orders."""
    if not (changes.roots or changes.holds or changes.requests):
        return
    await tx.execute(
        SAVE_ORDERS,
        [order.order_id for order in changes.roots],
        [order.version for order in changes.roots],
        [order.placed for order in changes.roots],
        [order.released_round for order in changes.roots],
        [request[0] for request in changes.requests],
        [request[1] for request in changes.requests],
        changes.holds,
        changes.lines,
        now,
    )


async def orders_to_lapse(database: Database, consumer: str, now: datetime, limit: int) -> list[str]:
    """Orders whose tentative hold is over at `now`, oldest first, without locks; not those whose events wait (S-27)."""
    return [row["order_id"] for row in await database.fetch(ORDERS_TO_LAPSE, now, limit, consumer)]


async def delete_abandoned(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete at most `limit` roots made before `before` that no order came to own and that hold nothing."""
    locked = await tx.fetch(LOCK_ABANDONED, before, limit)
    return len(await tx.fetch(DELETE_ABANDONED, [row["order_id"] for row in locked])) if locked else 0


async def _load_holds(tx: Transaction, order_ids: list[str]) -> dict[str, tuple[Hold, ...]]:
    rows = await tx.fetch(LOAD_HOLDS, order_ids)
    holds: dict[str, tuple[Hold, ...]] = {}
    for (order_id, reservation), group in groupby(rows, key=lambda row: (row["order_id"], row["reservation"])):
        lines = list(group)
        held = tuple(_line(row) for row in lines if row["line"] is not None)
        hold = Hold(reservation, HoldState(lines[0]["state"]), held, lines[0]["lapses_at"])
        holds[order_id] = (*holds.get(order_id, ()), hold)
    return holds


async def _load_answered(tx: Transaction, requests: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    rows = await tx.fetch(LOAD_ANSWERED, [request[0] for request in requests], [request[1] for request in requests])
    answered: dict[str, frozenset[str]] = {}
    for row in rows:
        answered[row["order_id"]] = answered.get(row["order_id"], frozenset()) | {row["request_id"]}
    return answered


def _line(row: asyncpg.Record) -> HoldLine:
    return HoldLine(
        row["line"],
        row["sku"],
        row["location"],
        row["reserved"],
        row["committed"],
        row["shipped"],
        row["released"],
        row["returned"],
        row["name"],
        None if row["currency"] is None else Price(row["amount_minor"], row["currency"]),
    )


def _line_row(order_id: str, reservation: int, line: HoldLine) -> tuple[Any, ...]:
    price = line.price
    return order_id, reservation, *line[:-1], price and price.amount_minor, price and price.currency


# One statement makes, locks and reads: DO UPDATE waits for a rival and returns what the rival committed (F-26). Sorted,
# so that two batches lock their roots in one order (S-4). A row that was there before was locked, which xmax tells.
LOCK_ROOTS = """
INSERT INTO order_stock AS o (order_id, created_at)
SELECT DISTINCT order_id, $2::timestamptz FROM unnest($1::text[]) AS r (order_id) ORDER BY order_id
ON CONFLICT (order_id) DO UPDATE SET version = o.version
RETURNING order_id, version, placed, released_round, xmax = 0 AS is_new
"""

# A statement of its own, after the lock: it sees what the transaction before us wrote (S-3).
LOAD_HOLDS = """
SELECT h.order_id, h.reservation, h.state, h.lapses_at, l.line, l.sku, l.location, l.reserved, l.committed, l.shipped,
       l.released, l.returned, l.name, l.amount_minor, l.currency
  FROM holds h LEFT JOIN hold_lines l USING (order_id, reservation)
 WHERE h.order_id = ANY($1::text[])
 ORDER BY h.order_id, h.reservation, l.line
"""

LOAD_ANSWERED = """
SELECT order_id, request_id
  FROM stock_requests JOIN unnest($1::text[], $2::text[]) AS r (order_id, request_id) USING (order_id, request_id)
"""

# Holds in the order of their numbers: an order's old hold ends before its new one begins, or the index that allows
# one live hold would refuse it. Locked roots are written by conflict, too: it always goes by their key, while a join
# would read the whole table as long as that looks cheap.
SAVE_ORDERS = """
WITH roots AS (
    INSERT INTO order_stock (order_id, version, placed, released_round, created_at)
    SELECT order_id, version, placed, released_round, $9
      FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::integer[])
           AS r (order_id, version, placed, released_round)
    ON CONFLICT (order_id) DO UPDATE
       SET version = excluded.version, placed = excluded.placed, released_round = excluded.released_round
), requests AS (
    INSERT INTO stock_requests (order_id, request_id, answered_at)
    SELECT order_id, request_id, $9 FROM unnest($5::text[], $6::text[]) AS q (order_id, request_id)
), saved AS (
    INSERT INTO holds (order_id, reservation, state, lapses_at)
    SELECT * FROM unnest($7::hold_row[]) ORDER BY order_id, reservation
    ON CONFLICT (order_id, reservation) DO UPDATE SET state = excluded.state, lapses_at = excluded.lapses_at
)
INSERT INTO hold_lines
    (order_id, reservation, line, sku, location, reserved, committed, shipped, released, returned, name,
     amount_minor, currency)
SELECT * FROM unnest($8::hold_line_row[])
ON CONFLICT (order_id, reservation, line) DO UPDATE
   SET committed = excluded.committed, shipped = excluded.shipped, released = excluded.released,
       returned = excluded.returned
"""

ORDERS_TO_LAPSE = """
SELECT order_id
  FROM holds h
 WHERE state = 'TENTATIVE' AND lapses_at <= $1
   AND NOT EXISTS (SELECT FROM parked_keys p WHERE p.consumer = $3 AND p.key = h.order_id)
 ORDER BY lapses_at
 LIMIT $2
"""

# SKIP LOCKED: whoever works on an order keeps it.
LOCK_ABANDONED = """
SELECT order_id FROM order_stock r
 WHERE NOT placed AND created_at < $1
   AND NOT EXISTS (SELECT FROM holds h WHERE h.order_id = r.order_id
                      AND h.state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED'))
 ORDER BY created_at
 LIMIT $2
   FOR UPDATE SKIP LOCKED
"""

# After the lock, so that a hold that was made until then is seen (S-3).
DELETE_ABANDONED = """
WITH old AS (
    SELECT order_id FROM unnest($1::text[]) AS r (order_id)
     WHERE NOT EXISTS (SELECT FROM holds h WHERE h.order_id = r.order_id
                          AND h.state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED'))
), requests AS (
    DELETE FROM stock_requests USING old WHERE stock_requests.order_id = old.order_id
), lines AS (
    DELETE FROM hold_lines USING old WHERE hold_lines.order_id = old.order_id
), held AS (
    DELETE FROM holds USING old WHERE holds.order_id = old.order_id
)
DELETE FROM order_stock USING old WHERE order_stock.order_id = old.order_id
RETURNING 1
"""
