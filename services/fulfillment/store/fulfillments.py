"""Fulfilments: lock the roots, read them with parcels and open calls, write what a decision changed.

Why: the lock is a statement of its own, and what depends on it is read later, because one statement that waited for a
lock sees the other rows as they were before the wait (S-3).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import asyncpg

from services.chassis.db import Database, Transaction
from services.fulfillment.domain import (
    Cancellation,
    Fulfillment,
    FulfillmentState,
    Kind,
    LineQuantity,
    Operation,
    ProviderState,
    Shipment,
    ShipmentState,
    Units,
)

_CREATE: Final = """
INSERT INTO fulfillments (order_id) SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id ON CONFLICT DO NOTHING
"""

_READ: Final = """
SELECT order_id::text, version, state, request_id, round, lines::text, cancelled::text, number, object_id,
       provider_state, sights, submitted, hold_id, reason, tries, next_try_at, cancellation_id, cancel_refused,
       answered, planned
  FROM fulfillments WHERE order_id = ANY($1::uuid[]) ORDER BY order_id
"""

_LOCK: Final = _READ + " FOR NO KEY UPDATE"

# Parcels, and calls that are under way: the journal says those, and the root does not say it a second time.
_PARTS: Final = """
SELECT order_id::text, place, NULL AS kind, id::text, provider_id, state, lines::text, carrier, tracking_number,
       tracking_url, sent_at, resent::text
  FROM shipments WHERE order_id = ANY($1::uuid[])
UNION ALL
SELECT subject, number, kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM operations WHERE subject = ANY($2::text[]) AND settled_at IS NULL
 ORDER BY 1, 2
"""

_SAVE: Final = """
UPDATE fulfillments f
   SET version = r.version, state = r.state, request_id = r.request_id, round = r.round, lines = r.lines,
       cancelled = r.cancelled, number = r.number, object_id = r.object_id, provider = $2,
       provider_state = r.provider_state, sights = r.sights, submitted = r.submitted, hold_id = r.hold_id,
       reason = r.reason, tries = r.tries, next_try_at = r.next_try_at, cancellation_id = r.cancellation_id,
       cancel_refused = r.cancel_refused, answered = r.answered, planned = r.planned, watch_at = r.watch_at,
       watch_from = coalesce(r.watch_from, f.watch_from)
  FROM json_populate_recordset(NULL::fulfillments, $1) AS r
 WHERE f.order_id = r.order_id
"""

_SAVE_SHIPMENTS: Final = """
INSERT INTO shipments AS s (id, order_id, provider_id, place, state, lines, carrier, tracking_number, tracking_url,
                            sent_at, resent)
SELECT id, order_id, provider_id, place, state, lines, carrier, tracking_number, tracking_url, sent_at, resent
  FROM json_populate_recordset(NULL::shipments, $1)
ON CONFLICT (id) DO UPDATE SET state = excluded.state
"""

# An event of the order that waits parked may be its cancellation: nothing new is begun before it was heard (S-27).
_NOT_PARKED: Final = "NOT EXISTS (SELECT FROM parked_keys p WHERE p.consumer = $3 AND p.key = f.order_id::text)"

# A call that is still under way (the cancel of an earlier round's object) goes first.
_TO_PREPARE: Final = f"""
SELECT order_id::text, recipient::text FROM fulfillments f
 WHERE next_try_at <= $1 AND state = 'QUEUED' AND {_NOT_PARKED}
   AND NOT EXISTS (SELECT FROM operations o WHERE o.subject = f.order_id::text AND o.settled_at IS NULL)
 ORDER BY next_try_at LIMIT $2
"""

# Calls that failed and wait for their next try; QUEUED ones are prepared first.
_TO_TRY: Final = f"""
SELECT order_id::text FROM fulfillments f
 WHERE next_try_at <= $1 AND state <> 'QUEUED' AND {_NOT_PARKED} ORDER BY next_try_at LIMIT $2
"""

_TO_WATCH: Final = """
SELECT order_id::text, watch_from FROM fulfillments WHERE watch_at <= $1 ORDER BY watch_at LIMIT $2
"""

# Locked in the order of their ids, like every set of roots.
_WATCH_LATER: Final = """
WITH due AS (
    SELECT f.order_id, later.at
      FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS later (order_id, since, at)
      JOIN fulfillments f ON f.order_id = later.order_id AND f.watch_from = later.since AND f.watch_at IS NOT NULL
     ORDER BY f.order_id FOR NO KEY UPDATE OF f
)
UPDATE fulfillments f SET watch_at = due.at FROM due WHERE f.order_id = due.order_id
RETURNING f.order_id::text, f.watch_at
"""

_LOCK_RECIPIENTS: Final = """
SELECT order_id::text, recipient::text FROM fulfillments
 WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR NO KEY UPDATE
"""

_SAVE_RECIPIENT: Final = "UPDATE fulfillments SET recipient = $2 WHERE order_id = $1"


async def lock(tx: Transaction, order_ids: Iterable[str], *, create: bool = False) -> dict[str, Fulfillment]:
    """Lock the roots in the order of their ids, then read them with all their parts; `create` makes missing ones."""
    ids = sorted(set(order_ids))
    if create:
        await tx.execute(_CREATE, ids)
    return await _with_parts(tx, await tx.fetch(_LOCK, ids))


async def read(db: Database | Transaction, order_ids: Iterable[str]) -> dict[str, Fulfillment]:
    """The roots that exist, as they are now, without a lock."""
    ids = sorted(set(order_ids))
    return await _with_parts(db, await db.fetch(_READ, ids)) if ids else {}


async def save(
    tx: Transaction, changes: Sequence[tuple[Fulfillment, Fulfillment]], provider: str, watch_at: datetime
) -> None:
    """Write what differs between before and after. What still can change is watched from `watch_at` on.

    From then on it also counts how long nothing new was seen, unless that is what happened.
    """
    changed = [(before, after) for before, after in changes if before != after]
    if not changed:
        return
    await tx.execute(_SAVE, json.dumps([_row(before, after, watch_at) for before, after in changed]), provider)
    shipments = [
        _shipment_row(after, place, shipment)
        for before, after in changed
        for place, shipment in enumerate(after.shipments, start=1)
        if shipment not in before.shipments
    ]
    if shipments:
        await tx.execute(_SAVE_SHIPMENTS, json.dumps(shipments))


async def to_prepare(db: Database, consumer: str, now: datetime, limit: int) -> list[tuple[str, dict[str, str] | None]]:
    """Queued orders whose time has come, with an operator's recipient where there is one; takes no lock.

    Neither this nor `to_try` gives orders whose events `consumer` has parked (S-27).
    """
    rows = await db.fetch(_TO_PREPARE, now, limit, consumer)
    return [(row["order_id"], _recipient(row["recipient"])) for row in rows]


async def to_try(db: Database, consumer: str, now: datetime, limit: int) -> list[str]:
    """Orders whose failed call is due again; takes no lock."""
    return [row["order_id"] for row in await db.fetch(_TO_TRY, now, limit, consumer)]


async def to_watch(db: Database, now: datetime, limit: int) -> dict[str, datetime]:
    """Orders whose object was not seen for long, and since when it shows nothing new; takes no lock."""
    return {row["order_id"]: row["watch_from"] for row in await db.fetch(_TO_WATCH, now, limit)}


async def watch_later(tx: Transaction, later: Mapping[str, tuple[datetime, datetime | None]]) -> list[str]:
    """Look again at that time, or never, where nothing new was seen since; returns those that are watched no more."""
    since, at = [each[0] for each in later.values()], [each[1] for each in later.values()]
    rows = await tx.fetch(_WATCH_LATER, list(later), since, at)
    return [row["order_id"] for row in rows if row["watch_at"] is None]


async def lock_recipients(tx: Transaction, order_ids: Sequence[str]) -> dict[str, dict[str, str] | None]:
    """Lock the roots; an operator's corrections of their addresses as they are now."""
    return {row["order_id"]: _recipient(row["recipient"]) for row in await tx.fetch(_LOCK_RECIPIENTS, list(order_ids))}


async def save_recipient(tx: Transaction, order_id: str, recipient: Mapping[str, str]) -> None:
    """Keep an operator's correction of the address."""
    await tx.execute(_SAVE_RECIPIENT, order_id, json.dumps(dict(recipient)))


def _recipient(text: str | None) -> dict[str, str] | None:
    corrected: dict[str, str] | None = json.loads(text) if text else None
    return corrected


async def _with_parts(db: Database | Transaction, roots: Sequence[asyncpg.Record]) -> dict[str, Fulfillment]:
    ids = [root["order_id"] for root in roots]
    if not ids:
        return {}
    shipments: dict[str, list[Shipment]] = {}
    operations: dict[str, list[Operation]] = {}
    for row in await db.fetch(_PARTS, ids, ids):
        if row["kind"] is None:
            shipments.setdefault(row["order_id"], []).append(_shipment(row))
        else:
            operations.setdefault(row["order_id"], []).append(Operation(Kind(row["kind"]), row["place"]))
    return {
        root["order_id"]: _fulfillment(
            root, tuple(operations.get(root["order_id"], ())), tuple(shipments.get(root["order_id"], ()))
        )
        for root in roots
    }


def _fulfillment(
    row: asyncpg.Record, operations: tuple[Operation, ...], shipments: tuple[Shipment, ...]
) -> Fulfillment:
    values = dict(row)
    cancellation_id, refused = values.pop("cancellation_id"), values.pop("cancel_refused")
    values["state"] = FulfillmentState(values["state"])
    values["provider_state"] = ProviderState(values["provider_state"])
    values["lines"], values["cancelled"] = _units(values["lines"]), _units(values["cancelled"])
    values["answered"] = tuple(values["answered"])
    cancellation = Cancellation(cancellation_id, refused) if cancellation_id else None
    return Fulfillment(**values, cancellation=cancellation, operations=operations, shipments=shipments)


def _shipment(row: asyncpg.Record) -> Shipment:
    values = {key: value for key, value in row.items() if key not in ("order_id", "place", "kind")}
    return Shipment(
        **{
            **values,
            "state": ShipmentState(values["state"]),
            "lines": _units(values["lines"]),
            "resent": _units(values["resent"]),
        }
    )


def _units(text: str) -> Units:
    return tuple(LineQuantity(**unit) for unit in json.loads(text))


def _row(before: Fulfillment, after: Fulfillment, watch_at: datetime) -> dict[str, Any]:
    row = {key: value for key, value in asdict(after).items() if key not in ("operations", "shipments", "cancellation")}
    cancellation = after.cancellation
    return {
        **row,
        "next_try_at": after.next_try_at.isoformat() if after.next_try_at else None,
        "cancellation_id": cancellation.id if cancellation else "",
        "cancel_refused": cancellation.refused if cancellation else False,
        "watch_at": watch_at.isoformat() if _can_change(after) else None,
        "watch_from": watch_at.isoformat() if _news(before) != _news(after) else None,
    }


def _news(root: Fulfillment) -> tuple[object, ...]:
    """What differs when something new was seen."""
    return root.number, root.state, root.provider_state, root.shipments


def _can_change(after: Fulfillment) -> bool:
    """Whether the provider can still tell something new: a live object, or a parcel that may still arrive."""
    is_live = bool(after.object_id) and not after.has_ended
    return is_live or any(shipment.state in (ShipmentState.SENT, ShipmentState.FAILED) for shipment in after.shipments)


def _shipment_row(after: Fulfillment, place: int, shipment: Shipment) -> dict[str, Any]:
    sent_at = shipment.sent_at.isoformat() if shipment.sent_at else None
    return {**asdict(shipment), "order_id": after.order_id, "place": place, "sent_at": sent_at}
