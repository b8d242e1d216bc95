"""Settings of the fulfillment service."""

from datetime import timedelta

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ServiceSettings, by_profile


class FulfillmentSettings(ServiceSettings):
    """`ONEFOLD_FULFILLMENT_...`: what every service needs, whom it asks, and the provider."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_FULFILLMENT_")

    orders_target: str = Field(default="127.0.0.1:50051", description="gRPC target of orders: addresses and prices")
    inventory_target: str = Field(default="127.0.0.1:50052", description="gRPC target of inventory: variant ids")
    printful_api_base: str = Field(default="https://api.printful.com", description="address of Printful's API")
    printful_token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("ONEFOLD_FULFILLMENT_PRINTFUL_TOKEN", "PRINTFUL_TOKEN"),
        description="token of Printful's API",
    )
    printful_store_id: str = Field(
        default="",
        validation_alias=AliasChoices("ONEFOLD_FULFILLMENT_PRINTFUL_STORE_ID", "PRINTFUL_STORE_ID"),
        description="X-PF-Store-Id, for tokens of accounts with several stores",
    )
    provider_timeout_ms: int = by_profile(
        10_000, demo=3_000, test=1_000, description="longest call to the provider (SAGA 8)", ge=100
    )
    call_timeout_ms: int = Field(default=2_000, ge=1, description="longest call to orders and inventory")
    watch_every_ms: int = by_profile(
        3_600_000,
        demo=5_000,
        test=1_000,
        description="an object unseen for so long is fetched, later the longer nothing is new: webhooks get lost",
        ge=1,
    )
    try_pauses_ms: list[int] = by_profile(
        [60_000, 300_000, 900_000, 3_600_000, 7_200_000, 21_600_000, 50_400_000],
        demo=[500, 1_000, 2_000, 5_000],
        test=[100, 200],
        description="pauses after tries in vain; one try more than pauses, then it is parked (R-4.7)",
    )
    work_batch_max: int = Field(default=50, ge=1, le=1000, description="most orders that one run of a job works on")

    @property
    def provider_timeout(self) -> timedelta:
        """The time-out of one HTTP call."""
        return timedelta(milliseconds=self.provider_timeout_ms)
