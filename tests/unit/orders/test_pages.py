"""Page tokens are opaque, and good for their own list only."""

from datetime import UTC, datetime

import pytest

from services.chassis.errors import InvalidField
from services.orders.pages import place_of, token_of
from services.orders.store.reading import Place, Wanted

PLACE = Place(datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC), "01a1fdab-476c-76bf-98f6-c23163f14937")
ADA = Wanted(customer_id="ada", states=("PENDING", "CONFIRMED"))


@pytest.mark.requirement("R-2.8")
def test_a_token_leads_back_to_its_place() -> None:
    token = token_of(PLACE, ADA)
    assert place_of(token, ADA) == PLACE
    assert place_of(token, Wanted(customer_id="ada", states=("CONFIRMED", "PENDING"))) == PLACE
    assert place_of("", ADA) is None
    assert "ada" not in token


@pytest.mark.parametrize(
    "token",
    [
        "!",
        "bm9uc2Vuc2U",
        "WzEsMiwzXQ",
        "WyJ4Il0",
        "e30",
        "WyIyMDI2LTAzLTAyIiwibm8iLCJ4Il0",
        "ä",
        token_of(PLACE, Wanted()),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidField):
        place_of(token, ADA)
