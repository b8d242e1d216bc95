"""All SQL of the mails' journal.

Why: a mail is claimed with a lease and settled only by who still holds it, so that two senders never take turns.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from consumers.emails.mails import ClaimedMail, Kind, PlannedMail
from services.chassis.db import Database, Transaction

PLANNED: Final = "mails"  # what the job that sends is woken by

# Inserted in the order of the events, which `position` then follows. The claim of the event makes it fresh; the
# constraint is the second lock.
_PLAN: Final = """
INSERT INTO mails (event_id, kind, subject, details, occurred_at, next_try_at)
SELECT event_id, kind, subject, details::jsonb, occurred_at, $6
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
       WITH ORDINALITY AS mail (event_id, kind, subject, details, occurred_at, place)
 ORDER BY place
ON CONFLICT (event_id) DO NOTHING
"""

# The oldest that are due, unless an earlier one about the same order is still open: mails keep the order of events.
# A mail whose sender died is due when its lease is over. Two processes skip each other's. Asked as min(), "the first of
# its order" is a look-up in an index whatever the planner expects; as NOT EXISTS it was once a join of all with all.
_CLAIM: Final = """
WITH free AS MATERIALIZED (
    SELECT event_id AS free_id FROM mails AS due
     WHERE settled_at IS NULL
       AND CASE state WHEN 'PLANNED' THEN next_try_at <= $1 ELSE lease_until <= clock_timestamp() END
       AND position = (SELECT min(open.position) FROM mails AS open
                        WHERE open.subject = due.subject AND open.settled_at IS NULL)
     ORDER BY position LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE mails
   SET state = 'SENDING', tries = tries + 1, fence = fence + 1, lease_until = clock_timestamp() + $2
  FROM free WHERE event_id = free_id
RETURNING event_id::text, kind, subject, details::text, occurred_at, fence, tries
"""

_SETTLE: Final = """
UPDATE mails SET state = $3, last_error = $4, settled_at = $5, lease_until = NULL
 WHERE event_id = $1 AND fence = $2 AND state = 'SENDING' RETURNING true
"""

_SETTLE_SENT: Final = """
UPDATE mails SET state = 'SENT', last_error = '', settled_at = $3, lease_until = NULL
  FROM unnest($1::uuid[], $2::bigint[]) AS taken (id, by)
 WHERE event_id = taken.id AND fence = taken.by AND state = 'SENDING' RETURNING event_id::text
"""

_POSTPONE: Final = """
UPDATE mails SET state = 'PLANNED', last_error = $3, next_try_at = $4, tries = tries - $5, lease_until = NULL
 WHERE event_id = $1 AND fence = $2 AND state = 'SENDING' RETURNING true
"""

_UNSENT: Final = """
SELECT event_id::text, kind, subject, state, tries, last_error, occurred_at FROM mails
 WHERE state IN ('PARKED', 'NO_ADDRESS') ORDER BY position LIMIT $1
"""

_REVIVE: Final = """
UPDATE mails SET state = 'PLANNED', tries = 0, last_error = '', next_try_at = $2, settled_at = NULL
 WHERE event_id = $1 AND state IN ('PARKED', 'NO_ADDRESS') RETURNING true
"""

_PURGE: Final = """
DELETE FROM mails WHERE event_id IN (
    SELECT event_id FROM mails WHERE settled_at < $1 ORDER BY settled_at LIMIT $2)
"""


async def plan(tx: Transaction, mails: Sequence[PlannedMail], now: datetime) -> None:
    """Keep mails to be sent, in the given order."""
    if not mails:
        return
    await tx.execute(
        _PLAN,
        [mail.event_id for mail in mails],
        [mail.kind.value for mail in mails],
        [mail.subject for mail in mails],
        [json.dumps(dict(mail.details)) for mail in mails],
        [mail.occurred_at for mail in mails],
        now,
    )


async def claim(db: Database, now: datetime, lease: timedelta, limit: int) -> list[ClaimedMail]:
    """The next mails to send, each of another order and ours until the lease is over; fewer if fewer are due."""
    rows = await db.fetch(_CLAIM, now, lease, limit)
    return [
        ClaimedMail(
            PlannedMail(
                row["event_id"], Kind(row["kind"]), row["subject"], json.loads(row["details"]), row["occurred_at"]
            ),
            row["fence"],
            row["tries"],
        )
        for row in rows
    ]


async def settle_sent(db: Database, mails: Sequence[ClaimedMail], now: datetime) -> set[str]:
    """Mark those SENT that nobody else has taken over; their event ids."""
    rows = await db.fetch(_SETTLE_SENT, [each.mail.event_id for each in mails], [each.fence for each in mails], now)
    return {row["event_id"] for row in rows}


async def settle(tx: Transaction, mail: ClaimedMail, state: str, error: str, now: datetime) -> bool:
    """NO_ADDRESS or PARKED; False if somebody else has taken it over."""
    return bool(await tx.fetchval(_SETTLE, mail.mail.event_id, mail.fence, state, error, now))


async def postpone(db: Database, mail: ClaimedMail, error: str, until: datetime, *, counts: bool = True) -> bool:
    """Try again later, with one try less if this one counts; False if somebody else has taken it over."""
    return bool(await db.fetchval(_POSTPONE, mail.mail.event_id, mail.fence, error, until, 0 if counts else 1))


async def unsent(db: Database, limit: int) -> list[dict[str, Any]]:
    """Mails that wait for a person: PARKED or NO_ADDRESS, oldest first."""
    return [dict(row) for row in await db.fetch(_UNSENT, limit)]


async def revive(tx: Transaction, event_id: str, now: datetime) -> bool:
    """Plan such a mail anew, with all its tries; False if it is not one."""
    return bool(await tx.fetchval(_REVIVE, event_id, now))


async def purge(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete mails that were settled earlier."""
    return int((await tx.execute(_PURGE, before, limit)).split()[1])
