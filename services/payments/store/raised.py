"""Which incidents were announced.

Why: an unmatched payment is stored at once and announced later, once (R-1.13).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.chassis.db import Transaction
from services.chassis.incidents import Incident

# An incident that a rival announces or closes at this moment is passed over: the next run sees what became of it. And
# whoever closes one waits for its announcement: the end of an incident is never told before its beginning.
_CLAIM: Final = """
WITH late AS (
    SELECT id, kind, subject, order_id, opened_at FROM incidents i
     WHERE state = 'OPEN' AND kind = ANY($1::text[]) AND opened_at <= $2
       AND NOT EXISTS (SELECT FROM raised_incidents r WHERE r.incident_id = i.id)
     ORDER BY opened_at, id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
), raised AS (
    INSERT INTO raised_incidents (incident_id, raised_at)
    SELECT id, $3 FROM late ORDER BY id ON CONFLICT DO NOTHING RETURNING incident_id
)
SELECT id::text, kind, subject, order_id, opened_at FROM late JOIN raised ON raised.incident_id = late.id
"""

_ANNOUNCED: Final = "SELECT incident_id::text FROM raised_incidents WHERE incident_id = ANY($1::uuid[])"


async def claim(
    tx: Transaction, kinds: Sequence[str], opened_before: datetime, now: datetime, limit: int
) -> list[Incident]:
    """Open incidents of these kinds that nobody has announced; they count as announced from now on."""
    rows = await tx.fetch(_CLAIM, list(kinds), opened_before, now, limit)
    return [Incident(row["kind"], row["subject"], row["opened_at"], row["order_id"], id=row["id"]) for row in rows]


async def announced(tx: Transaction, incident_ids: Sequence[str]) -> set[str]:
    """Those of the incidents, closed in this transaction before, that somebody was told of."""
    rows = await tx.fetch(_ANNOUNCED, list(incident_ids)) if incident_ids else []
    return {row["incident_id"] for row in rows}
