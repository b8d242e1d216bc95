"""Settings of the inventory service."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ServiceSettings, by_profile


class InventorySettings(ServiceSettings):
    """`ONEFOLD_INVENTORY_...`: what every service needs, and how long and how much stock may be held."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_INVENTORY_")

    hold_ms: int = by_profile(
        600_000,
        demo=30_000,
        test=5_000,
        description="a hold that no order came to own lapses after so long (S-7)",
        ge=1,
    )
    units_per_sku_max: int = Field(default=999, ge=1, description="most units of one SKU in one order (R-2.1)")
    lapse_batch_max: int = Field(
        default=256, ge=1, le=1024, description="most holds that one run of the job lets lapse"
    )
    abandoned_retention_days: int = Field(
        default=30, ge=1, description="how long numbers of reservations that no order came to own are remembered (S-6)"
    )

    @property
    def hold(self) -> timedelta:
        """How long a tentative hold lasts."""
        return timedelta(milliseconds=self.hold_ms)
