"""Settings of the gateway, read from its environment.

Why: secrets of providers live here and in no other process, and production does not start without them (R-6.6).
"""

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ProcessSettings, optional_secret


class GatewaySettings(ProcessSettings):
    """Environment of the gateway: `ONEFOLD_GATEWAY_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_GATEWAY_")

    port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 takes a free one")
    payments_target: str = Field(default="127.0.0.1:50053", description="gRPC target of payments")
    fulfillment_target: str = Field(default="127.0.0.1:50054", description="gRPC target of fulfillment")
    stripe_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("ONEFOLD_GATEWAY_STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"),
        description="signing secret of the endpoint; two by a comma while one is being rolled (F-1)",
    )
    printful_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="hex secret of Printful's v2 signature (F-19)"
    )
    printful_path_secret: SecretStr = optional_secret(
        description="secret in the URL of Printful's unsigned v1 webhooks; empty refuses them (F-19)"
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1024, le=1_048_576, description="largest webhook in bytes; larger ones get 413"
    )
    body_ms: int = Field(default=10_000, ge=1, description="how long a webhook's body may take to come, then 408")
    answer_ms: int = Field(default=4_500, ge=1, description="how long a service may take it, then 503 (F-14: 5 s)")

    @field_validator("printful_webhook_secret")
    @classmethod
    def _is_hex(cls, secret: SecretStr) -> SecretStr:
        bytes.fromhex(secret.get_secret_value())
        return secret

    @property
    def stripe_secrets(self) -> list[str]:
        """The endpoint's secrets; without one every webhook is refused."""
        return [secret.strip() for secret in self.stripe_webhook_secret.get_secret_value().split(",") if secret.strip()]
