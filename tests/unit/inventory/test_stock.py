"""Levels: where an order ships from, adjustments, low stock."""

import pytest

from services.inventory.domain import (
    Adjusted,
    Adjustment,
    BelowReserved,
    MovementKind,
    Shortage,
    StockLow,
    StockRow,
    adjust,
    changed_rows,
    stock_of,
)
from services.inventory.domain.stock import Short, choose_locations

STOCK = stock_of(
    [
        StockRow("CAP", "cape", on_hand=9, reserved=1),
        StockRow("CAP", "london", on_hand=1),
        StockRow("MUG", "cape", on_hand=2),
        StockRow("MUG", "london", on_hand=10, reserved=3),
    ]
)


@pytest.mark.requirement("S-20", "R-3.8")
@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({"MUG": 2, "CAP": 1}, {"MUG": "cape", "CAP": "cape"}),  # one parcel, the first by name
        ({"MUG": 2}, {"MUG": "cape"}),
        ({"MUG": 3, "CAP": 1}, {"MUG": "london", "CAP": "london"}),
        ({"MUG": 3, "CAP": 2}, {"MUG": "london", "CAP": "cape"}),  # no place has both
        (
            {"MUG": 8, "CAP": 9, "NOPE": 1},
            Short((Shortage("MUG", 7, 8), Shortage("CAP", 8, 9), Shortage("NOPE", 0, 1))),
        ),
    ],
)
def test_the_place_is_chosen_for_the_whole_order_first(wanted: dict[str, int], chosen: object) -> None:
    assert choose_locations(wanted, STOCK) == chosen


@pytest.mark.requirement("R-3.3")
def test_adjusting_is_all_or_nothing_and_never_below_reserved() -> None:
    up, down = Adjustment("MUG", "london", 1), Adjustment("MUG", "london", -9)
    assert adjust(STOCK, [up, down]) == BelowReserved("MUG", "london", 11, 3, -9)
    adjusted = adjust(STOCK, [up, Adjustment("MUG", "london", -8)])
    assert isinstance(adjusted, Adjusted)
    (row,) = changed_rows(STOCK, adjusted.stock)
    assert (row.on_hand, row.reserved, row.version) == (3, 3, 2)
    assert [(entry.kind, entry.on_hand) for entry in adjusted.movements] == [
        (MovementKind.ADJUSTED, 1),
        (MovementKind.ADJUSTED, -8),
    ]


@pytest.mark.requirement("R-3.4", "S-20")
def test_each_crossing_of_the_threshold_is_told_once() -> None:
    stock = stock_of([StockRow("MUG", "london", on_hand=6)])
    deltas = [-1, -1, -1, 3, -1, -1, 1, -1]  # 5 4 3 6 5 4 5 4
    adjusted = adjust(stock, [Adjustment("MUG", "london", delta) for delta in deltas])
    assert isinstance(adjusted, Adjusted)
    assert [(low.version, low.available) for low in adjusted.events] == [(2, 4), (6, 4), (8, 4)]
    assert adjusted.stock["MUG"]["london"].is_low


def test_a_level_that_never_was_begins_at_zero() -> None:
    adjusted = adjust({}, [Adjustment("NEW", "london", 2)])
    assert isinstance(adjusted, Adjusted)
    assert adjusted.events == (StockLow("NEW", "london", 1, 2, 5),)
    assert adjusted.stock["NEW"]["london"].on_hand == 2
