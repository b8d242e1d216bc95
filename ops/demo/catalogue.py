"""The demo's catalogue: read from the CSV, loaded by the same calls that a shop would make.

Why: the demo goes through the real doors only, and a thousand items are two calls, not a thousand.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from onefold.common.v1.common_pb2 import Money
from onefold.inventory.v1 import inventory_pb2, inventory_service_pb2

from ops.demo.doors import Doors

FILE: Final = Path(__file__).parents[1] / "data" / "catalogue.csv"
VARIANT_KEY: Final = "printful_variant_id"
T = TypeVar("T")
AT_ONCE: Final = 1000  # most items or adjustments of one call


@dataclass(frozen=True)
class Row:
    """One item: prices in minor units by currency, units by location."""

    sku: str
    name: str
    available: bool
    weight_grams: int
    variant_id: str
    low_stock_threshold: int
    prices: dict[str, int]
    stock: dict[str, int]

    @property
    def units(self) -> int:
        """Units over all locations."""
        return sum(self.stock.values())


def read(path: Path = FILE) -> list[Row]:
    """The items in the file's order."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(fields) for fields in csv.DictReader(file)]


async def load(doors: Doors, rows: list[Row]) -> None:
    """Put items and stock into inventory."""
    for number, part in enumerate(_parts(rows)):
        await doors.inventory.UpsertItems(
            inventory_service_pb2.UpsertItemsRequest(request_id=f"catalogue-{number}", items=map(_item, part)),
            timeout=doors.long_seconds,
        )
    levels = [
        inventory_service_pb2.StockAdjustment(sku=row.sku, location=location, delta=units)
        for row in rows
        for location, units in row.stock.items()
        if units
    ]
    for number, adjustments in enumerate(_parts(levels)):
        await doors.inventory.AdjustStock(
            inventory_service_pb2.AdjustStockRequest(
                request_id=f"stock-{number}", adjustments=adjustments, reason="first delivery", actor="demo"
            ),
            timeout=doors.long_seconds,
        )


async def stock_of(doors: Doors, skus: list[str]) -> list[inventory_pb2.StockLevel]:
    """The levels of all `skus`."""
    levels: list[inventory_pb2.StockLevel] = []
    for part in _parts(skus):
        answer = await doors.inventory.BatchGetStock(
            inventory_service_pb2.BatchGetStockRequest(skus=part), timeout=doors.long_seconds
        )
        levels.extend(answer.levels)
    return levels


def _parts(things: list[T]) -> list[list[T]]:
    return [things[start : start + AT_ONCE] for start in range(0, len(things), AT_ONCE)]


def _row(fields: dict[str, str]) -> Row:
    def prefixed(prefix: str) -> dict[str, int]:
        return {name.removeprefix(prefix): int(value) for name, value in fields.items() if name.startswith(prefix)}

    return Row(
        sku=fields["sku"],
        name=fields["name"],
        available=fields["available"] == "yes",
        weight_grams=int(fields["weight_grams"]),
        variant_id=fields["printful_variant_id"],
        low_stock_threshold=int(fields["low_stock_threshold"]),
        prices={currency.upper(): amount for currency, amount in prefixed("price_").items()},
        stock=prefixed("stock_"),
    )


def _item(row: Row) -> inventory_pb2.Item:
    return inventory_pb2.Item(
        sku=row.sku,
        name=row.name,
        prices=[Money(amount_minor=amount, currency=currency) for currency, amount in row.prices.items()],
        available=row.available,
        weight_grams=row.weight_grams,
        variant_ids={VARIANT_KEY: row.variant_id},
        low_stock_threshold=row.low_stock_threshold,
    )
