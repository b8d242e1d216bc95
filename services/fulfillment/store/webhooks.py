"""Webhooks: stored once by their content, marked when what they hint at was applied, or put off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.chassis.db import Database, Transaction

# A delivery that came before only counts; `deliveries` tells it apart from the first (F-26).
_STORE: Final = """
INSERT INTO webhooks AS w (source, content_hash, type, object_id, external_id, raw, received_at)
SELECT source, content_hash, type, object_id, external_id, raw, received_at
  FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[])
       AS r (source, content_hash, type, object_id, external_id, raw, received_at)
 ORDER BY source, content_hash
ON CONFLICT (source, content_hash) DO UPDATE SET deliveries = w.deliveries + 1
RETURNING source, content_hash, deliveries
"""

# Those that were never tried come first: others' tries in vain do not hold them up.
_UNPROCESSED: Final = """
SELECT source, content_hash, external_id, tries FROM webhooks
 WHERE processed_at IS NULL AND next_try_at <= $1 ORDER BY next_try_at, received_at LIMIT $2
"""

_MARK: Final = """
UPDATE webhooks w SET processed_at = $4, outcome = m.outcome
  FROM unnest($1::text[], $2::bytea[], $3::text[]) AS m (source, content_hash, outcome)
 WHERE (w.source, w.content_hash) = (m.source, m.content_hash) AND w.processed_at IS NULL
"""

_PUT_OFF: Final = """
UPDATE webhooks w SET tries = p.tries, next_try_at = p.next_try_at
  FROM unnest($1::text[], $2::bytea[], $3::integer[], $4::timestamptz[]) AS p (source, content_hash, tries, next_try_at)
 WHERE (w.source, w.content_hash) = (p.source, p.content_hash) AND w.processed_at IS NULL
"""

_PURGE: Final = """
DELETE FROM webhooks WHERE (source, content_hash) IN (
    SELECT source, content_hash FROM webhooks WHERE received_at < $1 AND processed_at IS NOT NULL LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """One webhook and what it hints at."""

    source: str
    content_hash: bytes
    type: str
    object_id: str
    external_id: str
    raw: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Hint:
    """A webhook that was not applied yet, though so often tried."""

    source: str
    content_hash: bytes
    external_id: str
    tries: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of a webhook: applied, stale, or unknown: not about an order of ours, or its object is not shown."""

    source: str
    content_hash: bytes
    outcome: str


async def store(tx: Transaction, webhooks: Sequence[StoredWebhook]) -> set[bytes]:
    """Keep them; returns the hashes of those that are new. Of equal ones in the call only the first may be given."""
    rows = await tx.fetch(
        _STORE,
        [webhook.source for webhook in webhooks],
        [webhook.content_hash for webhook in webhooks],
        [webhook.type for webhook in webhooks],
        [webhook.object_id for webhook in webhooks],
        [webhook.external_id for webhook in webhooks],
        [webhook.raw for webhook in webhooks],
        [webhook.received_at for webhook in webhooks],
    )
    return {row["content_hash"] for row in rows if row["deliveries"] == 1}


async def unprocessed(db: Database, now: datetime, limit: int) -> list[Hint]:
    """Those whose time has come; takes no lock."""
    return [Hint(**dict(row)) for row in await db.fetch(_UNPROCESSED, now, limit)]


async def mark(tx: Transaction, marks: Sequence[Mark], now: datetime) -> None:
    """They are done."""
    done = sorted(marks, key=lambda each: (each.source, each.content_hash))
    hashes, outcomes = [each.content_hash for each in done], [each.outcome for each in done]
    await tx.execute(_MARK, [each.source for each in done], hashes, outcomes, now)


async def put_off(tx: Transaction, hints: Sequence[tuple[Hint, datetime]]) -> None:
    """Keep how often they were tried, and when to try them again."""
    late = sorted(hints, key=lambda each: (each[0].source, each[0].content_hash))
    sources, hashes = [hint.source for hint, _ in late], [hint.content_hash for hint, _ in late]
    await tx.execute(_PUT_OFF, sources, hashes, [hint.tries for hint, _ in late], [at for _, at in late])


async def purge(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete processed ones that are older (S-28)."""
    return int((await tx.execute(_PURGE, before, limit)).split()[1])
