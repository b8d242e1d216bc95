"""Orders as people and callers see them: by id, number or payment, and in lists.

Why: one statement reads an order with its parts, so that they belong to one version; nothing here locks or decides.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.chassis.db import Database, Transaction
from services.orders.store import rows

_SHOWN: Final = f"""
{rows.ORDER_COLUMNS}, customer_id, email, shipping_address, metadata, payment_flow, capture_method,
created_at, updated_at, first_payable_until,
(SELECT json_agg(l ORDER BY line) FROM (
    SELECT line, sku, name, location, quantity, unit_price_minor, shipped, cancelled
      FROM order_lines WHERE order_id = o.order_id) l) AS lines,
(SELECT json_agg(provider_object_id ORDER BY position DESC)
   FROM order_payments WHERE order_id = o.order_id) AS object_ids
"""

_PARCELS: Final = """
(SELECT json_agg(p ORDER BY place) FROM (
    SELECT place, shipment_id, carrier, tracking_number, tracking_url, lines, sent_at, delivered_at
      FROM parcels WHERE order_id = o.order_id) p) AS parcels
"""

_HISTORY: Final = """
(SELECT json_agg(h ORDER BY number) FROM (
    SELECT number, from_state, to_state, actor, reason, occurred_at, caused_by
      FROM order_history WHERE order_id = o.order_id) h) AS history
"""

_READ: Final = f"SELECT {_SHOWN}, {_PARCELS} FROM orders o WHERE order_id = ANY($1::uuid[])"
_READ_ALL: Final = f"SELECT {_SHOWN}, {_PARCELS}, {_HISTORY} FROM orders o WHERE order_id = ANY($1::uuid[])"

_BY_NUMBER: Final = "SELECT order_id::text FROM orders WHERE number = $1"
_BY_OBJECT: Final = "SELECT order_id::text FROM order_payments WHERE provider_object_id = $1"
_VERSIONS: Final = "SELECT order_id::text AS order_id, version FROM orders WHERE order_id = ANY($1::uuid[])"

_LIST: Final = f"""
SELECT {_SHOWN} FROM orders o
 WHERE ($1 = '' OR customer_id = $1)
   AND ($2::text[] IS NULL OR state = ANY($2))
   AND ($3::timestamptz IS NULL OR created_at >= $3)
   AND ($4::timestamptz IS NULL OR created_at < $4)
   AND ($5::timestamptz IS NULL OR (created_at, o.order_id) < ($5, $6::uuid))
 ORDER BY created_at DESC, o.order_id DESC
 LIMIT $7
"""

# Whatever topic a key is parked in: what waits there may be the money that the deadline has waited for (S-27).
_DUE: Final = """
SELECT order_id::text AS order_id, version, due_at FROM orders o
 WHERE due_at <= $1
   AND NOT EXISTS (SELECT 1 FROM parked_keys p WHERE p.consumer = $2 AND p.key = o.order_id::text)
 ORDER BY due_at LIMIT $3
"""

_JSON: Final = ("shipping_address", "metadata")


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order to show: the root's columns by name, and rows of its parts, each in its order."""

    root: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    object_ids: Sequence[str] = ()
    parcels: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a list ended."""

    created_at: datetime
    order_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders a list shows; empty and None mean all."""

    customer_id: str = ""
    states: Sequence[str] = ()
    created_from: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """An order of which time asks something, as it was when it was picked."""

    order_id: str
    version: int
    due_at: datetime


async def read(db: Database | Transaction, order_ids: Sequence[str], *, history: bool = False) -> dict[str, OrderView]:
    """The orders that exist, by id, with their parcels."""
    found = await db.fetch(_READ_ALL if history else _READ, order_ids)
    return {row["order_id"]: _view(row) for row in found}


async def find_by_number(db: Database | Transaction, number: str) -> str | None:
    """The id of the order with this number, ten characters."""
    return _text(await db.fetchval(_BY_NUMBER, number))


async def find_by_object(db: Database | Transaction, provider_object_id: str) -> str | None:
    """The id of the order that an object at a provider belongs to, or ever belonged to (R-1.10)."""
    return _text(await db.fetchval(_BY_OBJECT, provider_object_id))


async def list_orders(db: Database | Transaction, wanted: Wanted, after: Place | None, limit: int) -> list[OrderView]:
    """Orders, newest first, without history and parcels."""
    found = await db.fetch(
        _LIST,
        wanted.customer_id,
        list(wanted.states) or None,
        wanted.created_from,
        wanted.created_until,
        after.created_at if after else None,
        after.order_id if after else None,
        limit,
    )
    return [_view(row) for row in found]


async def versions(db: Database, order_ids: Sequence[str]) -> dict[str, int]:
    """Versions of the orders that exist."""
    return {row["order_id"]: row["version"] for row in await db.fetch(_VERSIONS, order_ids)}


async def due(db: Database, now: datetime, consumer: str, limit: int) -> list[Due]:
    """Orders of which time asks something, longest due first; takes no lock, skips parked keys."""
    return [Due(**row) for row in await db.fetch(_DUE, now, consumer, limit)]


def _view(row: Any) -> OrderView:
    root = dict(row)
    for name in _JSON:
        root[name] = json.loads(root[name])
    parts = {name: json.loads(root.pop(name, None) or "[]") for name in ("lines", "object_ids", "parcels", "history")}
    for parcel in parts["parcels"]:
        parcel["sent_at"] = datetime.fromisoformat(parcel["sent_at"])
        parcel["delivered_at"] = datetime.fromisoformat(parcel["delivered_at"]) if parcel["delivered_at"] else None
    for entry in parts["history"]:
        entry["occurred_at"] = datetime.fromisoformat(entry["occurred_at"])
    return OrderView(root, **parts)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
