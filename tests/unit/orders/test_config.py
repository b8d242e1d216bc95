"""Settings become the domain's policies."""

from datetime import timedelta

import pytest

from services.chassis.testing import settings_for
from services.orders.config import OrdersSettings
from services.orders.domain import Policies


@pytest.mark.requirement("R-2.9", "R-2.12")
def test_the_defaults_of_production_are_those_of_the_domain() -> None:
    settings = settings_for(OrdersSettings, payable_ms=1_800_000)
    assert settings.policies == Policies()


@pytest.mark.requirement("R-2.12")
def test_durations_are_settings_and_profiles_shorten_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFOLD_ORDERS_SHIPPING_FEES", '{"GBP": 395, "JPY": 600}')
    monkeypatch.setenv("ONEFOLD_ORDERS_ARCHIVE_AFTER_DAYS", "90")
    settings = settings_for(OrdersSettings)
    assert settings.policies.payable_for < timedelta(minutes=5)
    assert settings.policies.archive_after == timedelta(days=90)
    assert settings.shipping_fees == {"GBP": 395, "JPY": 600}
