"""Changes of the catalogue."""

from collections.abc import Sequence
from datetime import datetime

from services.chassis import outbox
from services.chassis.db import Transaction
from services.inventory import domain, published
from services.inventory.store import catalogue
from services.inventory.store.catalogue import ChangedItem


async def upsert_items(
    tx: Transaction, items: Sequence[domain.Item], caused_by: str, now: datetime
) -> list[ChangedItem]:
    """Insert or replace items, each SKU once, and tell what changed; items that are as they were are left out."""
    changed = await catalogue.upsert_items(tx, items, now)
    await outbox.append(tx, published.items_of(changed, caused_by, now))
    return changed
