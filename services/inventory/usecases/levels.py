"""Changes of on-hand stock by people."""

from collections.abc import Sequence
from datetime import datetime

from services.chassis import outbox
from services.chassis.db import Transaction
from services.inventory import domain, published
from services.inventory.store import catalogue, levels
from services.inventory.usecases.errors import BelowReserved, UnknownSku


async def adjust_stock(
    tx: Transaction, adjustments: Sequence[domain.Adjustment], *, reason: str, actor: str, caused_by: str, now: datetime
) -> list[domain.StockRow]:
    """Change on-hand stock, all or nothing; returns the level per adjustment. Raises UnknownSku and BelowReserved."""
    skus = {change.sku for change in adjustments}
    known = await catalogue.read_items(tx, skus)
    for change in adjustments:
        if change.sku not in known:
            raise UnknownSku(sku=change.sku)
    await levels.add_missing_rows(tx, {(change.sku, change.location) for change in adjustments})
    before = await levels.lock_stock(tx, skus)
    adjusted = domain.adjust(before, adjustments)
    if isinstance(adjusted, domain.BelowReserved):
        raise BelowReserved(
            sku=adjusted.sku,
            location=adjusted.location,
            on_hand=adjusted.on_hand,
            reserved=adjusted.reserved,
            delta=adjusted.delta,
        )
    rows = domain.changed_rows(before, adjusted.stock)
    await levels.save_stock(tx, rows, adjusted.movements, now, reason=reason, actor=actor)
    lows = published.lows_of(adjusted.events, caused_by, now)
    await outbox.append(tx, lows + published.levels_of(rows, caused_by, now))
    return [adjusted.stock[change.sku][change.location] for change in adjustments]
