"""Levels: adjusted with a reason, never below what is reserved; low once per crossing."""

import asyncio

import pytest

from services.inventory import usecases
from services.inventory.domain import Adjustment, Item
from services.inventory.usecases import BelowReserved, UnknownSku
from tests.component.inventory.shop import Shop


@pytest.mark.requirement("R-3.3")
async def test_adjusting_says_why_and_who(shop: Shop) -> None:
    await shop.stocked("MUG")
    rows = await shop.adjust(
        Adjustment("MUG", "london", 10), Adjustment("MUG", "cape", 3), Adjustment("MUG", "london", -4)
    )
    assert [(row.location, row.on_hand) for row in rows] == [("london", 6), ("cape", 3), ("london", 6)]
    ledger = await shop.db.fetch(
        "SELECT location, on_hand_delta, reason, actor FROM stock_ledger WHERE kind = 'adjusted' ORDER BY position"
    )
    assert [tuple(row) for row in ledger] == [
        ("london", 10, "delivery", "test"),
        ("cape", 3, "delivery", "test"),
        ("london", -4, "delivery", "test"),
    ]
    levels = {event.context.location: event.on_hand for event in await shop.told("StockChanged")}
    assert levels == {"london": 6, "cape": 3}
    assert await shop.breaches() == []


@pytest.mark.requirement("R-3.3")
async def test_never_below_what_is_reserved(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(("a", {"MUG": 8}))
    with pytest.raises(BelowReserved) as refused:
        await shop.adjust(Adjustment("MUG", "cape", 5), Adjustment("MUG", "london", -3))
    assert refused.value.metadata["reserved"] == "8"
    assert await shop.level("MUG", "cape") == (0, 0, 0)
    await shop.adjust(Adjustment("MUG", "london", -2))
    assert await shop.level("MUG") == (8, 8, 0)


@pytest.mark.requirement("R-3.3")
async def test_only_what_is_in_the_catalogue(shop: Shop) -> None:
    await shop.stocked("MUG")
    with pytest.raises(UnknownSku):
        await shop.adjust(Adjustment("MUG", "london", 1), Adjustment("CAP", "london", 1))
    assert await shop.level("MUG") == (0, 0, 0)


@pytest.mark.requirement("R-3.3")
async def test_adjusting_and_reserving_at_once_stays_exact(shop: Shop) -> None:
    await shop.stocked("MUG", london=100)
    await asyncio.gather(
        *(shop.adjust(Adjustment("MUG", "london", 1), Adjustment("MUG", "cape", 1)) for _ in range(10)),
        *(shop.reserve((f"order-{index}", {"MUG": 2})) for index in range(10)),
    )
    assert (await shop.level("MUG"))[0] == 110
    assert await shop.breaches() == []


@pytest.mark.requirement("R-3.4", "S-20")
async def test_low_stock_is_told_once_per_crossing(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    for index in range(10):
        await shop.reserve((f"order-{index}", {"MUG": 1}))
    (low,) = await shop.told("StockLow")
    assert (low.context.sku, low.context.location, low.available, low.threshold) == ("MUG", "london", 4, 5)
    await shop.change([usecases.Undo(f"order-{index}", 1) for index in range(8)])
    await shop.reserve(("again", {"MUG": 4}))
    assert [event.available for event in await shop.told("StockLow")] == [4, 4]


@pytest.mark.requirement("R-3.4")
async def test_low_stock_is_told_once_by_a_batch(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(*((f"order-{index}", {"MUG": 1}) for index in range(10)))
    assert [event.available for event in await shop.told("StockLow")] == [4]
    assert [event.available for event in await shop.told("StockChanged")] == [10, 0]


@pytest.mark.requirement("R-3.4")
async def test_each_sku_has_a_threshold_of_its_own(shop: Shop) -> None:
    item = Item("CAP", "Cap", {"GBP": 500}, low_stock_threshold=2)
    await shop.db.run(lambda tx: usecases.upsert_items(tx, [item], "", shop.clock.now()))
    await shop.adjust(Adjustment("CAP", "london", 3))
    await shop.reserve(("a", {"CAP": 1}))
    assert await shop.told("StockLow") == []
    await shop.reserve(("b", {"CAP": 1}))
    assert [(event.available, event.threshold) for event in await shop.told("StockLow")] == [(1, 2)]
