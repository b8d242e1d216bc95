"""Up to when the provider's lists were held against ours.

Why: what a long outage hides lies before any window that ends now.
"""

from datetime import datetime
from typing import Final

from services.chassis.db import Transaction

_BEGIN: Final = """
INSERT INTO reconciled AS known (provider, until) VALUES ($1, $2)
ON CONFLICT (provider) DO UPDATE SET until = known.until
RETURNING until
"""

_FINISH: Final = "UPDATE reconciled SET until = greatest(until, $2) WHERE provider = $1"


async def begin(tx: Transaction, provider: str, now: datetime) -> datetime:
    """The end of the last run that came to its end; `now` before the first one, and from now on."""
    until: datetime = await tx.fetchval(_BEGIN, provider, now)
    return until


async def finish(tx: Transaction, provider: str, until: datetime) -> None:
    """A run has come to its end."""
    await tx.execute(_FINISH, provider, until)
