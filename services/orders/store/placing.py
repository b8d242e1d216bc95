"""Orders that are placed: all of a batch by one statement.

Why: this is the hottest write of the service, and its cost is in round trips (DESIGN 3).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from services.chassis.db import PLANNED_ONCE, Database, Transaction
from services.orders.domain import HistoryEntry, Order
from services.orders.store import rows
from services.orders.store.rows import Row

_GIVEN: Final = {
    "order_id": "uuid",
    "number": "text",
    "caller": "text",
    "request_id": "text",
    "body_hash": "bytea",
    "customer_id": "text",
    "email": "text",
    "shipping_address": "jsonb",
    "cart_id": "text",
    "metadata": "jsonb",
    "payment_flow": "text",
    "capture_method": "text",
    "currency": "text",
    "subtotal_minor": "bigint",
    "shipping_minor": "bigint",
    "adjustments_minor": "bigint",
    "total_minor": "bigint",
    "first_payable_until": "timestamptz",
    "created_at": "timestamptz",
}
_COLUMNS: Final = {**_GIVEN, **rows.MOVING_TYPES}

# What nearly every new order has is not sent: half of the columns, and half of the time that PostgreSQL reads JSON.
_USUAL: Final[Row] = {
    "cart_id": "",
    "metadata": {},
    "adjustments_minor": 0,
    "state": "PENDING",
    "changes": 1,
    "version": 1,
    "round": 1,
    "reservation": 1,
    "payment_verdict": "UNPAID",
    "payment_authorized_minor": 0,
    "payment_captured_minor": 0,
    "payment_refunded_minor": 0,
    "payment_refund_pending_minor": 0,
    "payment_currency_differs": False,
    "payment_dispute": "NONE",
    "payment_version": 0,
    "stock": "NONE",
    "fulfillment": "NONE",
    "cancellation": "NONE",
    "cancellation_number": 0,
    "cancellation_note": "",
    "cancellation_answers": {},
    "progress": {},
}


def _or_usual(column: str) -> str:
    if column not in _USUAL:
        return column
    usual = _USUAL[column]
    return f"coalesce({column}, '{usual if isinstance(usual, str) else json.dumps(usual)}')"


_INSERT: Final = f"""
WITH root AS (
    INSERT INTO orders ({", ".join(_COLUMNS)})
    SELECT {", ".join(map(_or_usual, _COLUMNS))}
      FROM json_to_recordset($1::json) AS r ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
), frozen AS (
    INSERT INTO order_lines (order_id, line, sku, name, location, quantity, unit_price_minor,
           shipped, cancelled, released, returned)
    SELECT order_id, line, sku, name, location, quantity, unit_price_minor, 0, 0, 0, 0
      FROM json_to_recordset($2::json) AS l (order_id uuid, line integer, sku text, name text, location text,
           quantity integer, unit_price_minor bigint)
)
INSERT INTO order_history (order_id, number, from_state, to_state, actor, reason, occurred_at, caused_by, version)
SELECT order_id, number, from_state, to_state, actor, reason, occurred_at, caused_by, version
  FROM json_to_recordset($3::json) AS h (order_id uuid, number integer, from_state text, to_state text, actor text,
       reason text, occurred_at timestamptz, caused_by text, version bigint), {PLANNED_ONCE}
"""

_FIND_REQUESTS: Final = """
SELECT caller, request_id, body_hash, order_id::text AS order_id
  FROM orders JOIN unnest($1::text[], $2::text[]) AS r (caller, request_id) USING (caller, request_id)
"""


class NewOrder(NamedTuple):
    """An order with what the caller gave besides; `names` and `locations` are those of its lines, in their order."""

    order: Order
    caller: str
    request_id: str
    body_hash: bytes
    customer_id: str
    email: str
    shipping_address: Mapping[str, str]
    metadata: Mapping[str, str]
    payment_flow: str
    capture_method: str
    names: Sequence[str]
    locations: Sequence[str]
    first_payable_until: datetime
    due_at: datetime | None
    history: Sequence[HistoryEntry]


@dataclass(frozen=True, slots=True)
class PlacedRequest:
    """An order by the request that placed it, whose key may have been purged long ago."""

    order_id: str
    body_hash: bytes


async def find_requests(
    tx: Transaction | Database, requests: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], PlacedRequest]:
    """Orders that these (caller, request id) placed at any time (S-5)."""
    if not requests:
        return {}
    found = await tx.fetch(_FIND_REQUESTS, [caller for caller, _ in requests], [request for _, request in requests])
    return {(row["caller"], row["request_id"]): PlacedRequest(row["order_id"], row["body_hash"]) for row in found}


async def insert(tx: Transaction, placed: Sequence[NewOrder], now: datetime) -> list[Row]:
    """Insert orders with lines and history; the columns of each root as written, moments as datetime."""
    roots = [_root(new, now) for new in placed]
    lines = [line for new in placed for line in line_rows(new)]
    history = [entry for new in placed for entry in _history(new, now)]
    await tx.execute(_INSERT, rows.as_json(map(_unusual, roots)), rows.as_json(lines), rows.as_json(history))
    return roots


def line_rows(new: NewOrder) -> list[Row]:
    """The lines' columns."""
    return [
        {
            "order_id": new.order.order_id,
            "line": line.line,
            "sku": line.sku,
            "name": name,
            "location": location,
            "quantity": line.ordered,
            "unit_price_minor": line.unit_price_minor,
            "shipped": line.shipped,
            "cancelled": line.cancelled,
        }
        for line, name, location in zip(new.order.lines, new.names, new.locations, strict=True)
    ]


def _root(new: NewOrder, now: datetime) -> Row:
    given: dict[str, Any] = {
        "caller": new.caller,
        "request_id": new.request_id,
        "body_hash": new.body_hash,
        "customer_id": new.customer_id,
        "email": new.email,
        "shipping_address": new.shipping_address,
        "metadata": new.metadata,
        "payment_flow": new.payment_flow,
        "capture_method": new.capture_method,
        "changes": len(new.history),
        "cancellation_note": "",
        "payable_until": new.order.payable_until,
        "first_payable_until": new.first_payable_until,
        "due_at": new.due_at,
        "created_at": now,
        "updated_at": now,
    }
    return {**rows.new_root_row(new.order), **given}


def _unusual(root: Row) -> Row:
    return {name: value for name, value in root.items() if name not in _USUAL or value != _USUAL[name]}


def _history(new: NewOrder, now: datetime) -> list[Row]:
    return [
        {
            "order_id": new.order.order_id,
            "number": number,
            "from_state": entry.from_state,
            "to_state": entry.to_state,
            "actor": entry.actor,
            "reason": entry.reason,
            "occurred_at": now,
            "caused_by": new.request_id,
            "version": new.order.version,
        }
        for number, entry in enumerate(new.history, 1)
    ]
