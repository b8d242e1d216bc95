"""Items and their prices.

Why: names and prices of a whole batch are read by one statement, and an upsert tells what really changed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from services.chassis.db import Database, Transaction
from services.inventory.domain import Item, is_sku


@dataclass(frozen=True, slots=True)
class ChangedItem:
    """An item that an upsert inserted or changed, with the version it has now."""

    item: Item
    version: int
    is_new: bool


async def read_items(tx: Transaction | Database, skus: Iterable[str]) -> dict[str, Item]:
    """Items by SKU; unknown ones are missing."""
    possible = {sku for sku in skus if is_sku(sku)}
    return {row["sku"]: _item(row) for row in await tx.fetch(READ_ITEMS, list(possible))} if possible else {}


async def list_items(database: Database, after_sku: str, limit: int, missing_variant_key: str) -> list[Item]:
    """At most `limit` items behind `after_sku`; with a key only sellable ones whose variant ids lack it."""
    return [_item(row) for row in await database.fetch(LIST_ITEMS, after_sku, limit, missing_variant_key)]


async def upsert_items(tx: Transaction, items: Sequence[Item], now: datetime) -> list[ChangedItem]:
    """Insert or replace, in the order of the SKUs; items that are as they were are left out."""
    ordered = sorted(items, key=lambda item: item.sku)
    skus = [item.sku for item in ordered]
    prices = [(item.sku, currency, amount) for item in ordered for currency, amount in item.prices.items()]
    await tx.execute(LOCK_ITEMS, skus)
    before = await read_items(tx, skus)
    changed = [item for item in ordered if before.get(item.sku) != item]
    rows = await tx.fetch(
        UPSERT_ITEMS,
        [item.sku for item in changed],
        [item.name for item in changed],
        [item.available for item in changed],
        [item.weight_grams for item in changed],
        [json.dumps(dict(item.variant_ids)) for item in changed],
        [item.low_stock_threshold for item in changed],
        now,
    )
    versions: Mapping[str, int] = {row["sku"]: row["version"] for row in rows}
    await tx.execute(DELETE_PRICES, list(versions))
    mine = [price for price in prices if price[0] in versions]
    await tx.execute(INSERT_PRICES, [p[0] for p in mine], [p[1] for p in mine], [p[2] for p in mine])
    return [ChangedItem(item, versions[item.sku], item.sku not in before) for item in changed]


def _item(row: asyncpg.Record) -> Item:
    return Item(
        sku=row["sku"],
        name=row["name"],
        prices=orjson.loads(row["prices"]),
        available=row["available"],
        weight_grams=row["weight_grams"],
        variant_ids=orjson.loads(row["variant_ids"]),
        low_stock_threshold=row["low_stock_threshold"],
    )


_COLUMNS = """
    sku, name, available, weight_grams, variant_ids, low_stock_threshold,
    (SELECT json_object_agg(p.currency, p.amount_minor ORDER BY p.currency) FROM prices p WHERE p.sku = i.sku) AS prices
"""

READ_ITEMS = f"SELECT {_COLUMNS} FROM items i WHERE sku = ANY($1::text[])"

# A variant id of '' cannot be used: it counts as missing.
LIST_ITEMS = f"""
SELECT {_COLUMNS}
  FROM items i
 WHERE sku > $1 AND ($3 = '' OR (available AND coalesce(variant_ids ->> $3, '') = ''))
 ORDER BY sku
 LIMIT $2
"""

# Before they are compared: what a rival changes meanwhile would otherwise be taken for unchanged.
LOCK_ITEMS = "SELECT FROM items WHERE sku = ANY($1::text[]) ORDER BY sku FOR NO KEY UPDATE"

UPSERT_ITEMS = """
INSERT INTO items AS i (sku, name, available, weight_grams, variant_ids, low_stock_threshold, updated_at)
SELECT sku, name, available, weight_grams, variant_ids::jsonb, low_stock_threshold, $7
  FROM unnest($1::text[], $2::text[], $3::boolean[], $4::integer[], $5::text[], $6::integer[])
       AS r (sku, name, available, weight_grams, variant_ids, low_stock_threshold)
 ORDER BY sku
ON CONFLICT (sku) DO UPDATE
   SET name = excluded.name, available = excluded.available, weight_grams = excluded.weight_grams,
       variant_ids = excluded.variant_ids, low_stock_threshold = excluded.low_stock_threshold,
       version = i.version + 1, updated_at = excluded.updated_at
RETURNING sku, version
"""

# Prices are replaced with their item, whose row is locked.
DELETE_PRICES = "DELETE FROM prices WHERE sku = ANY($1::text[])"

INSERT_PRICES = """
INSERT INTO prices (sku, currency, amount_minor) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
"""
