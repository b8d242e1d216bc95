"""Webhooks as they came, and what became of them.

Why: the claim is by `processed_at`, so what failed is processed by the provider's next delivery (S-12, R-1.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.chassis.db import Database, Transaction

# Sorted like every claim. A rival in flight is waited for; its commit shows in processed_at (F-26). A new row says
# at once what will most likely become of it, and is corrected in the same transaction: most rows are written once.
_CLAIM: Final = """
INSERT INTO webhook_events AS w (source, event_id, type, order_id, object_ids, raw, received_at, deliveries,
                                 outcome, processed_at)
SELECT source, event_id, type, order_id, string_to_array(object_ids, ' '), raw, received_at, deliveries, outcome, $10
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bytea[], $7::timestamptz[], $8::int[],
              $9::text[])
       AS event (source, event_id, type, order_id, object_ids, raw, received_at, deliveries, outcome)
 ORDER BY source, event_id
ON CONFLICT (source, event_id) DO UPDATE SET deliveries = w.deliveries + excluded.deliveries
RETURNING source, event_id, processed_at, deliveries
"""

_FINISH: Final = """
UPDATE webhook_events w SET processed_at = $4, outcome = r.outcome, error = ''
  FROM unnest($1::text[], $2::text[], $3::text[]) AS r (source, event_id, outcome)
 WHERE (w.source, w.event_id) = (r.source, r.event_id)
"""

# processed_at stays NULL: the next delivery is processed.
_FAIL: Final = """
INSERT INTO webhook_events AS w
       (source, event_id, type, order_id, object_ids, raw, received_at, outcome, error)
VALUES ($1, $2, $3, $4::uuid, string_to_array($5, ' '), $6, $7, 'failed', $8)
ON CONFLICT (source, event_id) DO UPDATE
   SET deliveries = w.deliveries + 1, outcome = 'failed', error = excluded.error
 WHERE w.processed_at IS NULL
"""

# Like one that failed when it came: the provider's next delivery, or the reconciler, is processed.
_SET_ASIDE: Final = """
UPDATE webhook_events SET processed_at = NULL, outcome = 'failed', error = $3
 WHERE source = $1 AND event_id = $2 AND outcome = 'incident'
"""

# Unmatched events whose order, or one of whose objects, has become known.
_MATCHABLE: Final = """
SELECT w.source, w.event_id, w.raw, w.received_at
  FROM webhook_events w
 WHERE w.outcome = 'incident'
   AND (EXISTS (SELECT FROM payables p WHERE p.order_id = w.order_id)
        OR EXISTS (SELECT FROM provider_objects o
                    WHERE o.provider = w.source AND o.object_id = ANY(w.object_ids)))
 ORDER BY w.received_at LIMIT $1
"""

_LOCK_UNMATCHED: Final = """
SELECT source, event_id FROM webhook_events
 WHERE (source, event_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND outcome = 'incident'
 ORDER BY source, event_id FOR NO KEY UPDATE
"""

_PURGE: Final = """
DELETE FROM webhook_events w
 USING (SELECT source, event_id FROM webhook_events
         WHERE received_at < $1 AND processed_at IS NOT NULL AND outcome <> 'incident'
         ORDER BY received_at LIMIT $2) old
 WHERE (w.source, w.event_id) = (old.source, old.event_id)
RETURNING 1
"""

_RECEIVED: Final = """
SELECT event_id FROM webhook_events
 WHERE source = $1 AND event_id = ANY($2::text[]) AND processed_at IS NOT NULL
"""


Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook as it is stored; `object_ids` separated by blanks."""

    source: str
    event_id: str
    type: str
    order_id: str | None
    object_ids: str
    raw: bytes
    received_at: datetime
    deliveries: int = 1
    outcome: str = "applied"  # what will most likely become of it


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A stored webhook that had no order."""

    source: str
    raw: bytes
    received_at: datetime


async def claim(tx: Transaction, webhooks: Sequence[StoredWebhook], now: datetime) -> tuple[set[Key], set[Key]]:
    """Store them. Returns (source, event id) of those that nobody has processed yet: all of them, and the new ones.

    The new ones have their `outcome` already; the others came before and failed (S-12).
    """
    found = await tx.fetch(
        _CLAIM,
        [w.source for w in webhooks],
        [w.event_id for w in webhooks],
        [w.type for w in webhooks],
        [w.order_id for w in webhooks],
        [w.object_ids for w in webhooks],
        [w.raw for w in webhooks],
        [w.received_at for w in webhooks],
        [w.deliveries for w in webhooks],
        [w.outcome for w in webhooks],
        now,
    )
    delivered = {(w.source, w.event_id): w.deliveries for w in webhooks}
    # A row that was there before has counted earlier deliveries, too.
    new = {key for row in found if delivered[key := (row["source"], row["event_id"])] == row["deliveries"]}
    failed = {(row["source"], row["event_id"]) for row in found if row["processed_at"] is None}
    return new | failed, new


async def finish(tx: Transaction, outcomes: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Mark (source, event id, outcome) as processed."""
    if outcomes:
        sources, event_ids, words = zip(*outcomes, strict=True)
        await tx.execute(_FINISH, list(sources), list(event_ids), list(words), now)


async def fail(tx: Transaction, webhook: StoredWebhook, error: str) -> None:
    """Record that it could not be processed; the provider's next delivery is tried again."""
    await tx.execute(
        _FAIL,
        webhook.source,
        webhook.event_id,
        webhook.type,
        webhook.order_id,
        webhook.object_ids,
        webhook.raw,
        webhook.received_at,
        error[:2000],
    )


async def matchable(db: Database, limit: int) -> list[Unmatched]:
    """Unmatched webhooks that can be applied now, oldest first."""
    return [Unmatched(row["source"], row["raw"], row["received_at"]) for row in await db.fetch(_MATCHABLE, limit)]


async def lock_unmatched(tx: Transaction, keys: Sequence[Key]) -> set[Key]:
    """Lock those of the (source, event id) that are still unmatched."""
    rows = await tx.fetch(_LOCK_UNMATCHED, [source for source, _ in keys], [event_id for _, event_id in keys])
    return {(row["source"], row["event_id"]) for row in rows}


async def set_aside(tx: Transaction, key: Key, error: str) -> None:
    """An unmatched webhook could not be applied when its order had appeared: it counts as unprocessed."""
    await tx.execute(_SET_ASIDE, *key, error[:2000])


async def received(db: Database, source: str, event_ids: Sequence[str]) -> set[str]:
    """Those of the ids that have been processed."""
    return {row["event_id"] for row in await db.fetch(_RECEIVED, source, list(event_ids))}


async def purge(tx: Transaction, now: datetime, older_than: timedelta, limit: int) -> int:
    """Delete at most `limit` processed webhooks that are older; by rows, not partitions (S-28)."""
    return len(await tx.fetch(_PURGE, now - older_than, limit))
