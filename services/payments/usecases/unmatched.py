"""Announce payments whose order did not appear in time, and events that nobody could read (R-1.13, R-1.7).

Why: an event often comes a moment before its order, so it is kept at once and shown to a person only later.
"""

from datetime import timedelta
from typing import Final

from services.chassis import outbox
from services.chassis.db import Database, Transaction
from services.payments import published
from services.payments.store import raised
from services.payments.usecases.decisions import Context
from services.payments.usecases.webhooks import UNMATCHED, UNREADABLE

_KINDS: Final = (UNMATCHED, UNREADABLE)


async def announce(database: Database, context: Context, after: timedelta, limit: int) -> int:
    """Raise open incidents about such events that are older than `after`, once each; returns how many."""
    now = context.clock.now()

    async def body(tx: Transaction) -> int:
        found = await raised.claim(tx, _KINDS, now - after, now, limit)
        await outbox.append(tx, [published.incident_raised(incident, 0, "", now) for incident in found])
        return len(found)

    return await database.run(body)
