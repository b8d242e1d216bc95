"""Prices and carts before anybody looks at stock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.domain import CartProblem, Item, Price, PricedLine, ProblemKind, WantedLine, is_sku, price_cart
from services.inventory.domain.catalogue import has_moved

ITEMS = {
    "MUG": Item("MUG", "Mug", {"GBP": 1000, "JPY": 1900}),
    "OFF": Item("OFF", "Gone", {"GBP": 500}, available=False),
}


@pytest.mark.requirement("R-2.1")
@pytest.mark.parametrize(
    ("was", "now", "moved"),
    [
        (1000, 1000, False),
        (1000, 1010, False),
        (1000, 990, False),
        (1000, 1011, True),
        (1000, 989, True),
        (99, 100, True),
        (100, 99, False),
        (0, 0, False),
        (0, 1, True),
        (1, 0, True),
        (10**15, 10**15 + 10**13, False),
        (10**15, 10**15 + 10**13 + 1, True),
    ],
)
def test_more_than_one_percent_has_moved_and_exactly_one_percent_has_not(was: int, now: int, moved: bool) -> None:
    assert has_moved(Price(was, "GBP"), Price(now, "GBP")) is moved


@pytest.mark.requirement("R-2.1", "R-1.20")
@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_the_rule_is_exact_for_all_amounts(was: int, now: int) -> None:
    assert has_moved(Price(was, "GBP"), Price(now, "GBP")) is (100 * abs(now - was) > was)


@pytest.mark.requirement("R-2.1")
def test_a_price_in_another_currency_has_moved() -> None:
    assert has_moved(Price(1000, "USD"), Price(1000, "GBP"))


@pytest.mark.requirement("R-2.2")
def test_lines_get_todays_name_and_price_in_the_carts_currency() -> None:
    cart = price_cart([WantedLine(1, "MUG", 2), WantedLine(2, "MUG", 1)], "JPY", ITEMS, maximum=3)
    assert cart.problems == ()
    assert cart.lines == (
        PricedLine(1, "MUG", 2, "Mug", Price(1900, "JPY")),
        PricedLine(2, "MUG", 1, "Mug", Price(1900, "JPY")),
    )


@pytest.mark.requirement("R-2.1")
def test_all_problems_are_found_with_units_over_all_lines_of_a_sku() -> None:
    wanted = [
        WantedLine(1, "OFF", 2, Price(400, "GBP")),
        WantedLine(2, "NOPE", 1),
        WantedLine(3, "OFF", 2, Price(400, "GBP")),
        WantedLine(4, "OFF", 1, Price(600, "GBP")),
    ]
    cart = price_cart(wanted, "GBP", ITEMS, maximum=4)
    assert cart.problems == (
        CartProblem(ProblemKind.NOT_AVAILABLE, "OFF", 5),
        CartProblem(ProblemKind.QUANTITY_TOO_LARGE, "OFF", 5, maximum=4),
        CartProblem(ProblemKind.UNKNOWN_SKU, "NOPE", 1),
        CartProblem(ProblemKind.PRICE_MOVED, "OFF", 5, price_was=Price(400, "GBP"), price_now=Price(500, "GBP")),
        CartProblem(ProblemKind.PRICE_MOVED, "OFF", 5, price_was=Price(600, "GBP"), price_now=Price(500, "GBP")),
    )
    assert [line.line for line in cart.lines] == [1, 3, 4]


@pytest.mark.requirement("R-2.1")
def test_an_item_without_a_price_in_the_currency() -> None:
    cart = price_cart([WantedLine(1, "MUG", 1, Price(1000, "EUR"))], "EUR", ITEMS, maximum=3)
    assert [problem.kind for problem in cart.problems] == [ProblemKind.NO_PRICE_IN_CURRENCY]
    assert cart.lines[0].price is None


@pytest.mark.parametrize(
    ("text", "possible"), [("A-1._b", True), ("", False), ("a b", False), ("a\0", False), ("é", False)]
)
def test_what_can_be_a_sku(text: str, possible: bool) -> None:
    assert is_sku(text) is possible
