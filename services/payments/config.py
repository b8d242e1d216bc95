"""Settings of the payments service."""

from datetime import timedelta
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ServiceSettings, by_profile
from services.payments.domain import Rules


class PaymentsSettings(ServiceSettings):
    """`ONEFOLD_PAYMENTS_...`: what every service needs, the provider's account, and how long payments may wait."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_PAYMENTS_")

    stripe_secret_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY"),
        description="secret key of the Stripe account, sk_live_... or sk_test_...",
    )
    stripe_api_base: str = Field(
        default="https://api.stripe.com", description="where Stripe's API is; the simulator's address in development"
    )
    public_origin: str = Field(
        default="http://127.0.0.1:8080",
        description="origin of the shop's pages, to which customers return from the provider",
    )
    provider_timeout_ms: int = Field(default=10_000, ge=1, description="longest HTTP call to the provider (SAGA 8)")
    operation_interval_ms: int = by_profile(
        1_000, test=20, description="pause between looks for calls to the provider that are due again", ge=1
    )
    ask_again_ms: int = by_profile(
        3_600_000,
        demo=2_000,
        test=1_000,
        description="how often the provider is asked about what a cancellation waits for (S-9)",
        ge=1,
    )
    cancellation_overdue_ms: int = by_profile(
        86_400_000, demo=60_000, description="a cancellation that waits for longer is an incident (S-9)", ge=1
    )
    unmatched_after_ms: int = by_profile(
        900_000,
        demo=10_000,
        description="an event whose order did not appear for so long is announced as an incident (R-1.13)",
        ge=1,
    )
    reconcile_interval_ms: int = by_profile(
        3_600_000, demo=5_000, description="pause between runs of the reconciler (R-1.6)", ge=1
    )
    reconcile_window_ms: int = by_profile(
        86_400_000,
        demo=120_000,
        test=3_600_000,
        description="how far back from its last good run the reconciler looks (R-1.18)",
        ge=1,
    )
    webhook_retention_days: int = Field(default=60, ge=60, description="how long processed webhooks are kept (S-28)")

    @model_validator(mode="after")
    def _refuse_local_pages(self) -> Self:
        if self.profile == "production" and not self.public_origin.startswith("https://"):
            raise ValueError("ONEFOLD_PAYMENTS_PUBLIC_ORIGIN: production needs an https:// origin")
        return self

    @property
    def provider_timeout(self) -> timedelta:
        """Longest HTTP call."""
        return timedelta(milliseconds=self.provider_timeout_ms)

    @property
    def rules(self) -> Rules:
        """Durations of the domain."""
        return Rules(timedelta(milliseconds=self.ask_again_ms), timedelta(milliseconds=self.cancellation_overdue_ms))
