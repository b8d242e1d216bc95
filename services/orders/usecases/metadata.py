"""Metadata: free data of the caller, merged in the database.

Why: two callers who set different keys at one time both find theirs afterwards (R-2.7).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.chassis.db import Transaction
from services.chassis.errors import DomainError
from services.orders.store import roots
from services.orders.usecases.commands import UpdateMetadata
from services.orders.usecases.errors import OrderNotFound, TooManyKeys

MOST_KEYS: Final = 50


async def update_metadata(
    tx: Transaction, commands: Sequence[UpdateMetadata], now: datetime
) -> list[DomainError | None]:
    """Set keys, keep the others; a refusal for each order that is unknown or would have too many."""
    existing = await roots.lock_only(tx, (command.order_id for command in commands))
    results: list[DomainError | None] = []
    for command in commands:
        if command.order_id not in existing:
            results.append(OrderNotFound(order_id=command.order_id))
        elif await roots.merge_metadata(tx, command.order_id, command.metadata, now, most_keys=MOST_KEYS):
            results.append(None)
        else:
            results.append(TooManyKeys(most=MOST_KEYS))
    return results
