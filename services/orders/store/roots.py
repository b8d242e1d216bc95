"""Roots: lock them, read what the domain decides on, write what a decision changed.

Why: the lock is a statement of its own, and what depends on it is read later, because one statement that waited for a
lock sees the other rows as they were before the wait (S-3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.chassis.db import Database, Transaction
from services.orders.domain import HistoryEntry, Order
from services.orders.store import rows
from services.orders.store.rows import Row

# Sorted, so that two batches with some orders in common cannot deadlock (S-4).
_LOCK: Final = """
SELECT order_id::text FROM orders WHERE order_id = ANY($1::uuid[]) ORDER BY orders.order_id FOR NO KEY UPDATE
"""

_ROOTS: Final = f"""
SELECT {rows.ORDER_COLUMNS}, changes, cancellation_note FROM orders WHERE order_id = ANY($1::uuid[])
"""

_LINES: Final = """
SELECT order_id::text AS order_id, line, sku, quantity, unit_price_minor, shipped, cancelled, released, returned
  FROM order_lines WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, line
"""

_PARCELS: Final = """
SELECT order_id::text AS order_id, shipment_id, state, carrier, tracking_number, tracking_url, lines::text, told,
       resent::text
  FROM parcels WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, place
"""

# One statement, for the root's state must be the one that its newest history entry leads to.
_SAVE: Final = f"""
WITH told AS (
    INSERT INTO order_history (order_id, number, from_state, to_state, actor, reason, occurred_at, caused_by, version)
    SELECT order_id, number, from_state, to_state, actor, reason, occurred_at, caused_by, version
      FROM json_to_recordset($2::json) AS h (order_id uuid, number integer, from_state text, to_state text, actor text,
           reason text, occurred_at timestamptz, caused_by text, version bigint)
)
UPDATE orders o
   SET {", ".join(f"{name} = r.{name}" for name in rows.MOVING_TYPES)}
  FROM json_to_recordset($1::json) AS r (order_id uuid,
       {", ".join(f"{name} {kind}" for name, kind in rows.MOVING_TYPES.items())})
 WHERE o.order_id = r.order_id
"""

_SAVE_LINES: Final = """
UPDATE order_lines l
   SET shipped = r.shipped, cancelled = r.cancelled, released = r.released, returned = r.returned
  FROM json_to_recordset($1::json) AS r (order_id uuid, line integer, shipped integer, cancelled integer,
       released integer, returned integer)
 WHERE (l.order_id, l.line) = (r.order_id, r.line)
"""

_MOVE_LINES: Final = """
UPDATE order_lines l SET location = r.location
  FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS r (order_id, line, location)
 WHERE (l.order_id, l.line) = (r.order_id, r.line) AND l.location <> r.location
"""

_SAVE_PARCELS: Final = """
INSERT INTO parcels AS p (shipment_id, order_id, place, state, carrier, tracking_number, tracking_url, lines, told,
       resent, sent_at, delivered_at)
SELECT shipment_id, order_id, place, state, carrier, tracking_number, tracking_url, lines, told, resent, seen_at,
       CASE WHEN state = 'DELIVERED' THEN seen_at END
  FROM json_to_recordset($1::json) AS r (shipment_id text, order_id uuid, place integer, state text, carrier text,
       tracking_number text, tracking_url text, lines jsonb, told boolean, resent jsonb, seen_at timestamptz)
ON CONFLICT (shipment_id) DO UPDATE
   SET state = excluded.state, told = excluded.told,
       delivered_at = coalesce(p.delivered_at, excluded.delivered_at)
 WHERE p.order_id = excluded.order_id
RETURNING p.shipment_id
"""

_ADD_OBJECTS: Final = """
INSERT INTO order_payments (provider_object_id, order_id, added_at)
SELECT provider_object_id, order_id, $3
  FROM unnest($1::text[], $2::uuid[]) AS r (provider_object_id, order_id)
 ORDER BY provider_object_id
ON CONFLICT (provider_object_id) DO NOTHING
"""

_OWNERS: Final = """
SELECT provider_object_id, order_id::text AS order_id FROM order_payments WHERE provider_object_id = ANY($1::text[])
"""

_WITH_FAILED: Final = """
SELECT created_at, order_id::text FROM orders
 WHERE progress -> 'refunds' @> '[{"state": "FAILED"}]'
   AND ($1::timestamptz IS NULL OR (created_at, order_id) > ($1, $2::uuid))
 ORDER BY created_at, orders.order_id LIMIT 100
"""

_POSTPONE: Final = "UPDATE orders SET due_at = $3 WHERE order_id = $1::uuid AND due_at <= $2"

_MERGE_METADATA: Final = """
UPDATE orders SET metadata = metadata || $2::jsonb, version = version + 1, updated_at = $3
 WHERE order_id = $1::uuid AND (SELECT count(*) FROM jsonb_object_keys(metadata || $2::jsonb)) <= $4
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Root:
    """A locked order: `changes` is the number of its newest history entry, `note` why its cancellation is wanted."""

    order: Order
    changes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What decisions made of a root; `history` holds (entry, cause, order's version) in order.

    `seen` holds when a parcel's newest fact became true, by shipment id.
    """

    before: Root
    after: Order
    note: str
    due_at: datetime | None
    history: Sequence[tuple[HistoryEntry, str, int]]
    seen: Mapping[str, datetime]


class ParcelOfAnotherOrder(Exception):
    """A shipment's id stands for a parcel of another order: a defect of whoever said it, for a person to see."""


async def lock(tx: Transaction, order_ids: Iterable[str]) -> dict[str, Root]:
    """Lock the roots that exist, in the order of their ids; then read them."""
    ids = sorted(await lock_only(tx, order_ids))
    return await _load(tx, ids) if ids else {}


async def lock_only(tx: Transaction, order_ids: Iterable[str]) -> set[str]:
    """Lock the roots that exist, in the order of their ids, and say which these are."""
    ids = sorted(set(order_ids))
    return {row[0] for row in await tx.fetch(_LOCK, ids)} if ids else set()


async def read(db: Database | Transaction, order_ids: Sequence[str]) -> dict[str, Root]:
    """Roots as they are, without a lock: to be shown."""
    return await _load(db, order_ids) if order_ids else {}


async def with_failed_refunds(db: Database, after: tuple[datetime, str] | None) -> list[tuple[datetime, str]]:
    """Age and id of up to a hundred orders that have a refund that failed, the oldest first; later than `after`."""
    rows = await db.fetch(_WITH_FAILED, *(after or (None, None)))
    return [(row["created_at"], row["order_id"]) for row in rows]


async def save(tx: Transaction, changes: Sequence[Change], now: datetime) -> None:
    """Write what the decisions changed: one statement for roots and history, one each for lines and parcels.

    Raises ParcelOfAnotherOrder.
    """
    if not changes:
        return
    roots: list[Row] = []
    history: list[Row] = []
    lines: list[Row] = []
    parcels: list[Row] = []
    for change in changes:
        _collect(change, now, roots, history, lines, parcels)
    await tx.execute(_SAVE, rows.as_json(roots), rows.as_json(history))
    if lines:
        await tx.execute(_SAVE_LINES, rows.as_json(lines))
    if parcels:
        saved = {row["shipment_id"] for row in await tx.fetch(_SAVE_PARCELS, rows.as_json(parcels))}
        if others := sorted({parcel["shipment_id"] for parcel in parcels} - saved):
            raise ParcelOfAnotherOrder(", ".join(others))


async def move_lines(tx: Transaction, locations: Mapping[tuple[str, int], str]) -> None:
    """Set where lines, given as (order id, line number), ship from."""
    if locations:
        keys = sorted(locations)
        await tx.execute(_MOVE_LINES, [k[0] for k in keys], [k[1] for k in keys], [locations[k] for k in keys])


async def add_objects(tx: Transaction, orders: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Let providers' objects (object id -> order id) find their orders; returns whose each object really is."""
    if not orders:
        return {}
    await tx.execute(_ADD_OBJECTS, list(orders), list(orders.values()), now)
    return {row["provider_object_id"]: row["order_id"] for row in await tx.fetch(_OWNERS, list(orders))}


async def postpone(tx: Transaction, order_id: str, now: datetime, until: datetime) -> None:
    """What is due by `now` is not asked again before `until`."""
    await tx.execute(_POSTPONE, order_id, now, until)


async def merge_metadata(
    tx: Transaction, order_id: str, metadata: Mapping[str, str], now: datetime, *, most_keys: int
) -> bool:
    """Set keys, keep the others (R-2.7); false if there would be more than `most_keys`."""
    return await tx.fetchval(_MERGE_METADATA, order_id, rows.as_json([metadata])[1:-1], now, most_keys) is not None


async def _load(db: Database | Transaction, ids: Sequence[str]) -> dict[str, Root]:
    lines = _by_order(await db.fetch(_LINES, ids))
    parcels = _by_order(await db.fetch(_PARCELS, ids))
    return {
        row["order_id"]: Root(
            rows.order_of(row, lines.get(row["order_id"], ()), parcels.get(row["order_id"], ())),
            row["changes"],
            row["cancellation_note"],
        )
        for row in await db.fetch(_ROOTS, ids)
    }


def _by_order(found: Iterable[Any]) -> dict[str, list[Any]]:
    by_order: dict[str, list[Any]] = {}
    for row in found:
        by_order.setdefault(row["order_id"], []).append(row)
    return by_order


def _collect(
    change: Change, now: datetime, roots: list[Row], history: list[Row], lines: list[Row], parcels: list[Row]
) -> None:
    before, after = change.before, change.after
    order_id = after.order_id
    root, line_records, parcel_records = rows.root_row(after)
    root.update(
        changes=before.changes + len(change.history),
        cancellation_note=change.note,
        due_at=change.due_at,
        updated_at=now,
    )
    roots.append(root)
    for number, (entry, caused_by, version) in enumerate(change.history, before.changes + 1):
        history.append(
            {
                "order_id": order_id,
                "number": number,
                "from_state": entry.from_state,
                "to_state": entry.to_state,
                "actor": entry.actor,
                "reason": entry.reason,
                "occurred_at": now,
                "caused_by": caused_by,
                "version": version,
            }
        )
    known_lines = set(before.order.lines)
    for line, line_record in zip(after.lines, line_records, strict=True):
        if line not in known_lines:
            lines.append(rows.line_row(order_id, line_record))
    known_parcels = set(before.order.progress.parcels)
    for place, (parcel, record) in enumerate(zip(after.progress.parcels, parcel_records, strict=True), 1):
        if parcel not in known_parcels:
            seen_at = change.seen.get(parcel.shipment_id, now)
            parcels.append({"order_id": order_id, "place": place, "seen_at": seen_at, **record})
