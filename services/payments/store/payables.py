"""Payables: lock the roots, read them with all their parts, write what a decision changed.

Why: the lock is a statement of its own, and what depends on it is read later, because one statement that waited for a
lock sees the other rows as they were before the wait (S-3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from services.chassis.db import PLANNED_ONCE, Database, Transaction
from services.payments.domain import Money, Payable
from services.payments.store import rows

_LOOK_LATER: Final = "UPDATE payables SET look_at = $2 WHERE order_id = $1 AND look_at IS NOT NULL"

_LIVE: Final = """
SELECT object_id, payment_id, state_at FROM payment_attempts
 WHERE state NOT IN ('SUCCEEDED', 'CANCELED') AND provider = $1 AND created_at >= $2
"""

_LOOK_NOW: Final = "UPDATE payables SET look_at = $2 WHERE order_id = $1"

_SAME: Final = ("version", "manual_capture", "closed", "succeeded", "look_at", "rounded_minor")  # column and field

T = TypeVar("T")

_CREATE: Final = """
INSERT INTO payables (order_id) SELECT DISTINCT id FROM unnest($1::uuid[]) AS id ORDER BY id ON CONFLICT DO NOTHING
"""

_LOCK: Final = """
SELECT order_id::text, version, due_minor, currency, manual_capture, closed, succeeded, look_at, rounded_minor
  FROM payables WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR NO KEY UPDATE
"""

_READ: Final = _LOCK.replace("FOR NO KEY UPDATE", "")

# All parts of all roots by one statement; each list in the order in which the domain appended it.
_PARTS: Final = """
SELECT 'attempts' AS part, order_id::text, number::bigint AS place, row_to_json(t)::text AS row
  FROM payment_attempts t WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT 'ledger', order_id::text, position, row_to_json(t)::text
  FROM payment_transactions t WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT 'refunds', order_id::text, extract(epoch FROM created_at)::bigint, row_to_json(t)::text
  FROM refunds t WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT 'disputes', order_id::text, extract(epoch FROM occurred_at)::bigint, row_to_json(t)::text
  FROM disputes t WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT 'cancellations', order_id::text, extract(epoch FROM requested_at)::bigint, row_to_json(t)::text
  FROM cancellations t WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT 'operations', subject, number,
       json_build_object('kind', kind, 'number', number,
                         'target', convert_from(request, 'UTF8')::json ->> 'target')::text
  FROM operations WHERE subject = ANY($2::text[]) AND settled_at IS NULL
 ORDER BY 1, 2, 3, 4
"""

_SAVE_ROOTS: Final = """
UPDATE payables p
   SET version = r.version, due_minor = r.due_minor, currency = r.currency, manual_capture = r.manual_capture,
       closed = r.closed, succeeded = r.succeeded, look_at = r.look_at, rounded_minor = r.rounded_minor
  FROM json_to_recordset($1) AS r (order_id uuid, version bigint, due_minor bigint, currency char(3),
       manual_capture boolean, closed boolean, succeeded boolean, look_at timestamptz, rounded_minor bigint)
 WHERE p.order_id = r.order_id
"""

_ADD_ATTEMPTS: Final = """
INSERT INTO payment_attempts (id, order_id, number, provider, flow, state, state_at, ended_by, request_id,
       object_id, payment_id, charge_id, method, failures, failure_at, failure_code, failure_message, orphan,
       capture_request, capture_minor, creates, cancels, captures, created_at)
SELECT id, order_id, number, provider, flow, state, state_at, ended_by, request_id,
       object_id, payment_id, charge_id, method, failures, failure_at, failure_code, failure_message, orphan,
       capture_request, capture_minor, creates, cancels, captures, created_at
  FROM json_populate_recordset(NULL::payment_attempts, $1)
"""

_SAVE_ATTEMPTS: Final = """
UPDATE payment_attempts a
   SET state = r.state, state_at = r.state_at, ended_by = r.ended_by, object_id = r.object_id,
       payment_id = r.payment_id, charge_id = r.charge_id, method = r.method, failures = r.failures,
       failure_at = r.failure_at, failure_code = r.failure_code, failure_message = r.failure_message,
       orphan = r.orphan, capture_request = r.capture_request, capture_minor = r.capture_minor,
       creates = r.creates, cancels = r.cancels, captures = r.captures
  FROM json_to_recordset($1) AS r (id uuid, state text, state_at timestamptz, ended_by text, object_id text,
       payment_id text, charge_id text, method text, failures integer, failure_at timestamptz, failure_code text,
       failure_message text, orphan boolean, capture_request text, capture_minor bigint, creates integer,
       cancels integer, captures integer)
 WHERE a.id = r.id
"""

# No ON CONFLICT: the root's lock lets a fact be booked once, and a second one is an error that must show (S-13).
_SAVE_LEDGER: Final = f"""
INSERT INTO payment_transactions
       (order_id, provider, object_id, fact, debit, credit, amount_minor, currency, source_id, occurred_at, caused_by)
SELECT order_id, provider, object_id, fact, debit, credit, amount_minor, currency, source_id, occurred_at, caused_by
  FROM json_to_recordset($1) AS r (place int, order_id uuid, provider text, object_id text, fact text, debit text,
       credit text, amount_minor bigint, currency char(3), source_id text, occurred_at timestamptz, caused_by text),
       {PLANNED_ONCE}
 ORDER BY place
"""

_SAVE_REFUNDS: Final = """
INSERT INTO refunds AS f (id, order_id, refund_id, number, tries, provider, source_id, provider_refund_id,
       amount_minor, currency, state, code, reason)
SELECT id, order_id, refund_id, number, tries, provider, source_id, provider_refund_id,
       amount_minor, currency, state, code, reason
  FROM json_populate_recordset(NULL::refunds, $1)
ON CONFLICT (id) DO UPDATE
   SET provider_refund_id = excluded.provider_refund_id, amount_minor = excluded.amount_minor,
       currency = excluded.currency, state = excluded.state, code = excluded.code, reason = excluded.reason,
       number = excluded.number, tries = excluded.tries
"""

_SAVE_DISPUTES: Final = """
INSERT INTO disputes AS d (id, provider, order_id, source_id, amount_minor, currency, state, occurred_at, withdrawn)
SELECT id, provider, order_id, source_id, amount_minor, currency, state, occurred_at, withdrawn
  FROM json_populate_recordset(NULL::disputes, $1)
ON CONFLICT (provider, id) DO UPDATE
   SET amount_minor = excluded.amount_minor, state = excluded.state, occurred_at = excluded.occurred_at,
       withdrawn = excluded.withdrawn
"""

_SAVE_CANCELLATIONS: Final = """
INSERT INTO cancellations AS c (id, order_id, requested_at, settled, delayed, overdue)
SELECT id, order_id, requested_at, settled, delayed, overdue
  FROM json_populate_recordset(NULL::cancellations, $1)
ON CONFLICT (id) DO UPDATE
   SET settled = excluded.settled, delayed = excluded.delayed, overdue = excluded.overdue
"""

_SAVE_OBJECTS: Final = """
INSERT INTO provider_objects (provider, object_id, order_id)
SELECT provider, object_id, order_id
  FROM unnest($1::text[], $2::text[], $3::uuid[]) AS o (provider, object_id, order_id)
 ORDER BY provider, object_id
ON CONFLICT DO NOTHING
"""

_FIND: Final = """
SELECT object_id, order_id::text FROM provider_objects WHERE provider = $1 AND object_id = ANY($2::text[])
"""

_KNOWN: Final = "SELECT order_id::text FROM payables WHERE order_id = ANY($1::uuid[])"

_TO_LOOK_AT: Final = """
SELECT order_id::text FROM payables WHERE look_at <= $1 ORDER BY look_at LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A payable before and after its decisions, and what caused each of the new ledger facts."""

    before: Payable
    after: Payable
    causes: Sequence[str] = ()


async def create(tx: Transaction, order_ids: Iterable[str]) -> None:
    """Make the roots that are missing."""
    await tx.execute(_CREATE, sorted(set(order_ids)))


async def lock(tx: Transaction, order_ids: Iterable[str]) -> dict[str, Payable]:
    """Lock the roots that exist, in the order of their ids, then read them with all their parts."""
    ids = sorted(set(order_ids))
    return await _with_parts(tx, await tx.fetch(_LOCK, ids)) if ids else {}


async def read(db: Database, order_id: str) -> Payable | None:
    """One payable as it is now, without a lock."""
    return (await _with_parts(db, await db.fetch(_READ, [order_id]))).get(order_id)


async def save(tx: Transaction, changes: Sequence[Change], provider: str) -> None:
    """Write what differs between before and after: one statement per table that has changes."""
    tables: dict[str, list[rows.Row]] = {statement: [] for statement in _STATEMENTS}
    objects: dict[str, str] = {}
    for change in changes:
        if change.after != change.before:
            _collect(tables, objects, change, provider)
    for statement in _STATEMENTS:
        if tables[statement]:
            await tx.execute(statement, orjson.dumps(tables[statement]).decode())
    if objects:
        await tx.execute(_SAVE_OBJECTS, [provider] * len(objects), list(objects), list(objects.values()))


async def find_orders(db: Database | Transaction, provider: str, object_ids: Iterable[str]) -> dict[str, str]:
    """Provider's object id -> order id, for those that are known (R-1.10)."""
    ids = sorted({i for i in object_ids if i})
    return {row["object_id"]: row["order_id"] for row in await db.fetch(_FIND, provider, ids)} if ids else {}


async def live_since(db: Database, provider: str, since: datetime) -> dict[str, datetime]:
    """Provider's object id -> the provider's time of its state, of attempts that were alive and begun `since`."""
    found = await db.fetch(_LIVE, provider, since)
    return {i: row["state_at"] for row in found for i in (row["object_id"], row["payment_id"]) if i}


async def known(db: Database | Transaction, order_ids: Iterable[str]) -> set[str]:
    """Those of the orders that have a payable."""
    ids = sorted(set(order_ids))
    return {row["order_id"] for row in await db.fetch(_KNOWN, ids)} if ids else set()


async def to_look_at(db: Database, now: datetime, limit: int) -> list[str]:
    """Orders whose provider must be asked now, longest waiting first; takes no lock."""
    return [row["order_id"] for row in await db.fetch(_TO_LOOK_AT, now, limit)]


async def look_now(tx: Transaction, order_id: str, now: datetime) -> None:
    """Have the provider asked at once."""
    await tx.execute(_LOOK_NOW, order_id, now)


async def look_later(tx: Transaction, order_id: str, at: datetime) -> None:
    """Put off a question that could not be asked."""
    await tx.execute(_LOOK_LATER, order_id, at)


_STATEMENTS: Final = (
    _SAVE_ROOTS,
    _SAVE_ATTEMPTS,  # before new ones: only one may be live (S-14)
    _ADD_ATTEMPTS,
    _SAVE_LEDGER,
    _SAVE_REFUNDS,
    _SAVE_DISPUTES,
    _SAVE_CANCELLATIONS,
)


def _collect(tables: dict[str, list[rows.Row]], objects: dict[str, str], change: Change, provider: str) -> None:
    before, after = change.before, change.after
    order_id = after.order_id
    tables[_SAVE_ROOTS].append(_root_row(after))
    for attempt in _new(before.attempts, after.attempts):
        was = next((a for a in before.attempts if a.id == attempt.id), None)
        row = rows.moved_row(attempt) if was else rows.attempt_row(attempt, order_id, provider)
        tables[_SAVE_ATTEMPTS if was else _ADD_ATTEMPTS].append(row)
        for object_id in (attempt.object_id, attempt.payment_id):
            if object_id and not (was and was.names(object_id)):
                objects[object_id] = order_id
    for fact, cause in zip(after.ledger[len(before.ledger) :], change.causes, strict=True):
        row = rows.ledger_row(fact, order_id, provider, cause)
        tables[_SAVE_LEDGER].append({**row, "place": len(tables[_SAVE_LEDGER])})
    for refund in _new(before.refunds, after.refunds):
        tables[_SAVE_REFUNDS].append(rows.refund_row(refund, order_id, provider))
        if refund.provider_refund_id:
            objects[refund.provider_refund_id] = order_id
    for dispute in _new(before.disputes, after.disputes):
        tables[_SAVE_DISPUTES].append(rows.dispute_row(dispute, order_id, provider))
        objects[dispute.id] = order_id
    for cancellation in _new(before.cancellations, after.cancellations):
        tables[_SAVE_CANCELLATIONS].append(rows.cancellation_row(cancellation, order_id))


def _new(before: tuple[T, ...], after: tuple[T, ...]) -> list[T]:
    return [] if before is after else [part for part in after if part not in before]


def _root_row(payable: Payable) -> rows.Row:
    due = payable.due
    return {
        "order_id": payable.order_id,
        "due_minor": due.amount_minor if due else None,
        "currency": due.currency if due else None,
        **{column: getattr(payable, column) for column in _SAME},
    }


async def _with_parts(db: Database | Transaction, roots: Sequence[Any]) -> dict[str, Payable]:
    ids = [root["order_id"] for root in roots]
    parts: dict[str, dict[str, list[Any]]] = {order_id: {} for order_id in ids}
    for part, order_id, _, text in await db.fetch(_PARTS, ids, ids):
        parts[order_id].setdefault(part, []).append(rows.READERS[part](orjson.loads(text)))
    return {
        root["order_id"]: Payable(
            order_id=root["order_id"],
            due=Money(root["due_minor"], root["currency"]) if root["due_minor"] is not None else None,
            version=root["version"],
            manual_capture=root["manual_capture"],
            closed=root["closed"],
            succeeded=root["succeeded"],
            look_at=root["look_at"],
            rounded_minor=root["rounded_minor"],
            **{part: tuple(values) for part, values in parts[root["order_id"]].items()},
        )
        for root in roots
    }
