import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ConfigurationError, ServiceSettings, describe, load, optional_secret

TOKENS = '{"gateway": "a-long-token-of-the-gateway"}'


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ONEFOLD_SHOP_")

    webhook_secret: SecretStr = Field(default=SecretStr(""), description="signs webhooks")
    courier_secret: SecretStr = optional_secret(description="signs a courier's webhooks")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("ONEFOLD_PROFILE", raising=False)
    monkeypatch.setenv("ONEFOLD_SHOP_DATABASE_URL", "postgresql://shop:geheim@127.0.0.1/shop")
    monkeypatch.setenv("ONEFOLD_SHOP_CALLER_TOKENS", TOKENS)
    monkeypatch.setenv("ONEFOLD_SHOP_TOKEN", "a-long-token-of-the-shop")
    monkeypatch.setenv("ONEFOLD_SHOP_WEBHOOK_SECRET", "whsec")
    return monkeypatch


def test_settings_come_from_the_service_s_own_variables(environment: pytest.MonkeyPatch) -> None:
    settings = load(ShopSettings)
    assert settings.service == "shop"
    assert settings.profile == "production"
    assert settings.caller_tokens == {"gateway": "a-long-token-of-the-gateway"}


def test_a_profile_shortens_what_is_not_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_SHOP_JOB_INTERVAL_MS", "777")
    assert load(ShopSettings).request_lease_ms == 30_000
    environment.setenv("ONEFOLD_PROFILE", "demo")
    assert load(ShopSettings).request_lease_ms == 10_000
    environment.setenv("ONEFOLD_PROFILE", "test")
    settings = load(ShopSettings)
    assert (settings.request_lease_ms, settings.job_interval_ms) == (3_000, 777)


def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ONEFOLD_SHOP_DATABASE_URL")
    with pytest.raises(ConfigurationError, match="ONEFOLD_SHOP_DATABASE_URL: Field required"):
        load(ShopSettings)


def test_a_wrong_value_is_named_and_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_SHOP_PORT", "geheim")
    with pytest.raises(ConfigurationError) as caught:
        load(ShopSettings)
    assert "ONEFOLD_SHOP_PORT" in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.requirement("R-6.6")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ONEFOLD_SHOP_WEBHOOK_SECRET", ""),
        ("ONEFOLD_SHOP_TOKEN", ""),
        ("ONEFOLD_SHOP_CALLER_TOKENS", "{}"),
        ("ONEFOLD_SHOP_CALLER_TOKENS", '{"gateway": "short"}'),
        ("ONEFOLD_SHOP_CALLER_TOKENS", '{"gateway": "a-token-for-the-two", "demo": "a-token-for-the-two"}'),
    ],
)
def test_production_refuses_what_is_insecure(environment: pytest.MonkeyPatch, variable: str, value: str) -> None:
    environment.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as caught:
        load(ShopSettings)
    assert "a-token-for-the-two" not in str(caught.value)


def test_a_laptop_may_leave_secrets_empty(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_PROFILE", "demo")
    for variable in ("WEBHOOK_SECRET", "TOKEN", "CALLER_TOKENS"):
        environment.delenv(f"ONEFOLD_SHOP_{variable}")
    assert load(ShopSettings).caller_tokens == {}


def test_every_setting_is_described() -> None:
    settings = {setting.variable: setting for setting in describe(ShopSettings)}
    assert settings["ONEFOLD_PROFILE"].default == "'production'"
    assert settings["ONEFOLD_SHOP_DATABASE_URL"].default == "required"
    assert settings["ONEFOLD_SHOP_RELAY_POLL_MS"].default == "1000 (demo: 1000, test: 50)"
    assert settings["ONEFOLD_SHOP_WEBHOOK_SECRET"].description == "signs webhooks"
    assert all(setting.description for setting in settings.values())


def test_tokens_are_not_printed(environment: pytest.MonkeyPatch) -> None:
    assert "a-long-token" not in repr(load(ShopSettings))
