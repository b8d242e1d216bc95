"""Settings of the simulators, from the environment, so that demo, tests and readers start the same thing."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SimulatorSettings(BaseSettings):
    """Environment variables `ONEFOLD_SIMULATORS_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_SIMULATORS_", extra="ignore")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; simulators are never meant for the outside."
    )
    port: int = Field(default=8090, ge=0, le=65535, description="Port of the one HTTP server; 0 takes a free one.")
    public_url: str = Field(
        default="",
        description="Origin of hosted payment pages, as a browser sees it; empty: taken from the Host header.",
    )
    seed: int = Field(
        default=0, description="Seed of the choices that the automatic mode makes; ids are always random."
    )

    stripe_key: str = Field(
        default="sk_test_onefold",
        pattern="^sk_",
        description="Stripe's secret key; its publishable key begins with pk_ instead.",
    )
    stripe_webhook_url: str = Field(default="", description="Where Stripe's events are sent; empty: nowhere.")
    stripe_webhook_secret: str = Field(
        default="whsec_onefold",
        min_length=1,
        description="Signs Stripe's events (F-1); several, split by commas, while rolling.",
    )
    stripe_webhook_types: str = Field(
        default="*", description="Types of events that are sent, globs split by commas: payment_intent.*,refund.*"
    )
    stripe_calls_per_second: int = Field(
        default=0,
        ge=0,
        description="Stripe's rate limit; 0 is none, the vendor's is 100 live and 25 in a sandbox (F-11).",
    )

    printful_token: str = Field(default="pf_test_onefold", min_length=1, description="Bearer token of Printful's API.")
    printful_store_id: int = Field(default=1, description="The one store; another X-PF-Store-Id is refused.")
    printful_webhook_url: str = Field(
        default="",
        description="Where Printful's events are sent; empty: nowhere. With v1 put a secret into the URL (F-19).",
    )
    printful_webhook_secret: str = Field(
        default="6f6e65666f6c64", description="Hex secret that signs v2 events; it is decoded before use (F-19)."
    )
    printful_webhook_version: Literal["v1", "v2"] = Field(
        default="v2", description="v1: unsigned, no word of delivery; v2: signed, with shipment_delivered (F-19)."
    )
    printful_calls_per_minute: int = Field(
        default=0, ge=0, description="Printful's rate limit; 0 is none, the vendor's is 120 (F-18)."
    )

    deliver: bool = Field(
        default=True,
        description="Send webhooks in the background; false: only when the control API says so (for tests).",
    )
    webhook_workers: int = Field(default=64, ge=1, le=256, description="Webhooks under way at once.")
    webhook_timeout_seconds: float = Field(default=10.0, gt=0, description="How long a receiver of webhooks may take.")
    retry_scale: float = Field(
        default=0.01,
        gt=0,
        description="Multiplies the vendors' retry intervals of webhooks; 1 is as slow as the real ones.",
    )

    auto: bool = Field(
        default=False,
        description="Confirmed orders are produced, shipped and delivered, and async payments settle, untold.",
    )
    auto_ship_seconds: float = Field(
        default=0.2, ge=0, description="Automatic mode: from confirmation to the first parcel."
    )
    auto_deliver_seconds: float = Field(
        default=0.2, ge=0, description="Automatic mode: from a parcel's departure to its arrival."
    )
    auto_settle_seconds: float = Field(
        default=0.5, ge=0, description="Automatic mode: how long an async payment is processing."
    )
    auto_max_parcels: int = Field(
        default=2, ge=1, le=10, description="Automatic mode: at most so many parcels per order."
    )

    @field_validator("printful_webhook_secret")
    @classmethod
    def _hex(cls, value: str) -> str:
        bytes.fromhex(value)
        return value

    @property
    def stripe_publishable_key(self) -> str:
        """What a customer's browser calls Stripe with."""
        return "pk_" + self.stripe_key.removeprefix("sk_")
