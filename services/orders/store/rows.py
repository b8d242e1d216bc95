"""An order as rows and back.

Why: the domain owns the names of its fields; here they are only laid out into columns, lines and parcels, so that a
new field of the domain is stored without a word here.
"""

import json
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

import orjson

from services.orders.domain import Order, OrderId, Record, from_record, to_record, to_sparse_record

Row = dict[str, Any]

PAYMENT: Final = (
    "verdict",
    "due_minor",
    "currency",
    "authorized_minor",
    "captured_minor",
    "refunded_minor",
    "refund_pending_minor",
    "currency_differs",
    "dispute",
    "version",
)
FROZEN: Final = (
    "number",
    "currency",
    "subtotal_minor",
    "shipping_minor",
    "adjustments_minor",
    "total_minor",
    "cart_id",
)
MOVING: Final = ("state", "version", "round", "reservation", "stock", "fulfillment", "payable_until")

_ROOT: Final = ("order_id", *FROZEN, *MOVING)
_PAYMENT_COLUMNS: Final = tuple(f"payment_{name}" for name in PAYMENT)
_root_of: Final = attrgetter(*_ROOT)
_payment_of: Final = attrgetter(*PAYMENT)

# Types of the columns that a decision may change, for json_to_recordset; `changes` numbers the newest history entry.
MOVING_TYPES: Final = {
    "state": "text",
    "changes": "integer",
    "version": "bigint",
    "round": "integer",
    "reservation": "integer",
    **{f"payment_{name}": "bigint" for name in PAYMENT},
    "payment_verdict": "text",
    "payment_currency": "text",
    "payment_currency_differs": "boolean",
    "payment_dispute": "text",
    "stock": "text",
    "fulfillment": "text",
    "cancellation": "text",
    "cancellation_number": "integer",
    "cancellation_reason": "text",
    "cancellation_note": "text",
    "cancellation_answers": "jsonb",
    "progress": "jsonb",
    "payable_until": "timestamptz",
    "due_at": "timestamptz",
    "updated_at": "timestamptz",
}

# Columns of the root that make up the domain's order; ids as text.
ORDER_COLUMNS: Final = ", ".join(
    (
        "order_id::text AS order_id",
        *FROZEN,
        *MOVING,
        *(f"payment_{name}" for name in PAYMENT),
        "cancellation",
        "cancellation_number",
        "cancellation_reason",
        "cancellation_answers",
        "progress",
    )
)


def root_row(order: Order) -> tuple[Row, list[Record], list[Record]]:
    """The root's columns, the lines and the parcels, as JSON values."""
    record = to_record(order)
    payment, cancellation = record.pop("payment"), record.pop("cancellation")
    lines, progress = record.pop("lines"), record["progress"]
    parcels = progress.pop("parcels")
    row: Row = record
    for name, value in payment.items():
        row[f"payment_{name}"] = value
    row["cancellation"] = cancellation.pop("state")
    row["cancellation_number"] = cancellation.pop("number")
    row["cancellation_reason"] = cancellation.pop("reason")
    row["cancellation_answers"] = cancellation
    return row, lines, parcels


def new_root_row(order: Order) -> Row:
    """The root's columns of an order that was only just placed; of its objects only what differs from the defaults.

    It does not walk through the whole order, for this is the hottest write of the service.
    """
    row: Row = dict(zip(_ROOT, _root_of(order), strict=True))
    row.update(zip(_PAYMENT_COLUMNS, _payment_of(order.payment), strict=True))
    cancellation = to_sparse_record(order.cancellation)
    for name in ("state", "number", "reason"):
        cancellation.pop(name, None)
    row["cancellation"] = order.cancellation.state
    row["cancellation_number"] = order.cancellation.number
    row["cancellation_reason"] = order.cancellation.reason
    row["cancellation_answers"] = cancellation
    row["progress"] = to_sparse_record(order.progress)
    return row


def line_row(order_id: OrderId, line: Mapping[str, Any]) -> Row:
    """A line's columns but for its name and location."""
    row = {key: value for key, value in line.items() if key != "ordered"}
    return {"order_id": order_id, "quantity": line["ordered"], **row}


def order_of(root: Any, lines: Iterable[Any], parcels: Iterable[Any]) -> Order:
    """The order that the rows (mappings by column) hold; lines and parcels in their order."""
    cancellation = json.loads(root["cancellation_answers"])
    cancellation["state"] = root["cancellation"]
    cancellation["number"] = root["cancellation_number"]
    cancellation["reason"] = root["cancellation_reason"]
    record: Record = {name: root[name] for name in ("order_id", *FROZEN, *MOVING)}
    record["payment"] = {name: root[f"payment_{name}"] for name in PAYMENT}
    record["cancellation"] = cancellation
    record["progress"] = json.loads(root["progress"])
    record["progress"]["parcels"] = [
        {**parcel, "lines": json.loads(parcel["lines"]), "resent": json.loads(parcel["resent"])} for parcel in parcels
    ]
    record["lines"] = [{**line, "ordered": line["quantity"]} for line in lines]
    return from_record(record)


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the one argument of json_to_recordset; moments become ISO 8601, bytes hexadecimal."""
    return orjson.dumps(list(rows), default=_plain).decode()


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"{type(value).__name__} is no value of a row")
