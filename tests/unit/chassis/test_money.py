"""Decimal text of amounts in every kind of currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.money import decimal_text, decimals


@pytest.mark.requirement("R-1.20")
@pytest.mark.parametrize(
    "amount_minor, currency, text",
    [(1050, "GBP", "10.50"), (5, "GBP", "0.05"), (1050, "JPY", "1050"), (-1050, "KWD", "-1.050"), (0, "USD", "0.00")],
)
def test_decimals_belong_to_the_currency(amount_minor: int, currency: str, text: str) -> None:
    assert decimal_text(amount_minor, currency) == text


@pytest.mark.requirement("R-1.20")
@given(st.integers(-(10**15), 10**15), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_nothing_is_lost(amount_minor: int, currency: str) -> None:
    assert Decimal(decimal_text(amount_minor, currency)).scaleb(decimals(currency)) == amount_minor
