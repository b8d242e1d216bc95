"""Settings of the e-mail consumer.

Why: who sends, through which server and how patiently belongs to a shop, and mails never leave production in the clear.
"""

from collections.abc import Sequence
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ServiceSettings, by_profile, optional_secret


class EmailsSettings(ServiceSettings):
    """`ONEFOLD_EMAILS_...`: database and Kafka as in every service, whom it asks for names, and the mail server."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_EMAILS_")
    takes_calls: ClassVar[bool] = False

    orders_target: str = Field(default="127.0.0.1:50051", description="gRPC target of orders: names and addresses")
    call_timeout_ms: int = Field(default=2_000, ge=1, description="longest call to orders")
    smtp_host: str = Field(default="127.0.0.1", description="mail server")
    smtp_port: int = by_profile(587, demo=8025, description="its port", ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = by_profile(
        "starttls", demo="none", description="encryption; none is refused in production unless the server is local"
    )
    smtp_username: str = Field(default="", description="name at the mail server; empty: no login")
    smtp_password: SecretStr = optional_secret(description="password at the mail server")
    smtp_timeout_ms: int = by_profile(
        20_000, demo=5_000, test=2_000, description="longest step of a send before DATA", ge=1
    )
    smtp_data_timeout_ms: int = by_profile(
        600_000,
        demo=60_000,
        test=2_000,
        description="longest wait for the answer to a whole letter; RFC 5321 4.5.3.2.6 gives a server ten minutes",
        ge=1,
    )
    smtp_connections: int = Field(default=4, ge=1, le=64, description="mails that are sent at one time")
    from_address: str = by_profile("", demo="orders@shop.example", description="sender, without a name; required")
    shop_name: str = Field(default="Onefold", description="the shop's name as mails show it")
    shop_address: str = by_profile("", demo="stock@shop.example", description="where mails to the shop go; required")
    event_age_max_hours: int = Field(
        default=72, ge=1, description="events older than this send no mail: a replay must not write to customers"
    )
    try_pauses_ms: list[int] = by_profile(
        [30_000, 120_000, 600_000, 3_600_000, 14_400_000, 43_200_000],
        demo=[200, 500, 1_000, 2_000, 5_000],
        test=[100, 200],
        description="pauses after tries in vain; one try more than pauses, then the mail is parked",
    )

    @property
    def event_age_max(self) -> timedelta:
        """Events older than this send no mail."""
        return timedelta(hours=self.event_age_max_hours)

    @property
    def sender_domain(self) -> str:
        """What stands behind the @ of the sender."""
        return self.from_address.rpartition("@")[2]

    @property
    def offer_limit(self) -> timedelta:
        """The longest that all steps of a send before DATA may take together."""
        return timedelta(milliseconds=2 * self.smtp_timeout_ms)

    @property
    def data_limit(self) -> timedelta:
        """The longest that DATA may take."""
        return timedelta(milliseconds=self.smtp_data_timeout_ms)

    @property
    def patience(self) -> timedelta:
        """How long a sender waits for a letter: reading the order and the steps before DATA are long over by then."""
        return timedelta(milliseconds=2 * self.call_timeout_ms) + self.offer_limit

    @property
    def lease(self) -> timedelta:
        """How long a mail belongs to whoever sends it: longer than reading the order and sending may take."""
        return timedelta(milliseconds=3 * (self.smtp_timeout_ms + self.call_timeout_ms)) + self.data_limit

    @property
    def try_pauses(self) -> Sequence[timedelta]:
        """Pauses after tries in vain."""
        return [timedelta(milliseconds=pause) for pause in self.try_pauses_ms]

    @model_validator(mode="after")
    def _refuse_mute_and_open(self) -> Self:
        for name in ("from_address", "shop_address"):
            address = getattr(self, name)
            if not is_address(address) and (address or self.profile == "production"):
                raise ValueError(f"ONEFOLD_EMAILS_{name.upper()} is no address, such as orders@shop.example")
        local = self.smtp_host in ("127.0.0.1", "::1", "localhost")
        if self.profile == "production" and self.smtp_security == "none" and not local:
            raise ValueError("ONEFOLD_EMAILS_SMTP_SECURITY=none would send names and addresses in the clear")
        return self


def is_address(text: str) -> bool:
    """Whether it is one address and nothing else: no name, no brackets."""
    try:
        return bool(Address(addr_spec=text).domain)
    except (ValueError, IndexError, MessageError):
        return False
