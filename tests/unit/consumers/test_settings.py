"""Mails never leave production unsigned or in the clear (R-5.4, R-6.6)."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from consumers.analytics.config import AnalyticsSettings
from consumers.emails.config import EmailsSettings
from services.chassis.process import _longest_stop_s as longest_stop_s

pytestmark = pytest.mark.requirement("R-6.6")


def settings(**changes: Any) -> EmailsSettings:
    values = {"database_url": "postgresql://x", "token": "t" * 16, "from_address": "shop@example.org"}
    values |= {"shop_address": "stock@example.org", **changes}
    return EmailsSettings.model_validate({"profile": "production", **values})


@pytest.mark.parametrize("name", ["from_address", "shop_address"])
@pytest.mark.parametrize("wrong", ["", "Shop <shop@example.org>", "shop", "a@b@c", "@example.org", "shop@"])
def test_production_needs_addresses_that_are_addresses(name: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match=f"ONEFOLD_EMAILS_{name.upper()}"):
        settings(**{name: wrong})


def test_production_encrypts_unless_the_server_is_on_the_same_machine() -> None:
    with pytest.raises(ValidationError, match="ONEFOLD_EMAILS_SMTP_SECURITY"):
        settings(smtp_host="mail.example.org", smtp_security="none")
    assert settings(smtp_security="none").smtp_host == "127.0.0.1"
    assert settings(smtp_host="mail.example.org").smtp_security == "starttls"


def test_consumers_need_no_callers_and_analytics_no_token() -> None:
    assert settings().caller_tokens == {}
    assert AnalyticsSettings.model_validate({"profile": "production", "folder": "/archive"}).flush_ms == 60_000


def test_an_archive_for_ever_does_not_depend_on_where_its_process_starts() -> None:
    with pytest.raises(ValidationError, match="ONEFOLD_ANALYTICS_FOLDER"):
        AnalyticsSettings.model_validate({"profile": "production"})


def test_a_lease_outlives_reading_the_order_and_sending() -> None:
    chosen = settings(smtp_timeout_ms=1_000, call_timeout_ms=500, smtp_data_timeout_ms=60_000)
    assert chosen.lease.total_seconds() == 64.5
    assert chosen.patience + chosen.data_limit < chosen.lease


def test_a_server_has_the_minutes_that_the_standard_gives_it_and_a_stop_does_not_wait_for_them() -> None:
    chosen = settings()
    assert chosen.data_limit == timedelta(minutes=10)
    assert chosen.patience < timedelta(seconds=longest_stop_s(chosen))
