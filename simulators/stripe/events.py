"""Stripe's events on their way to the merchant: signed over the raw body, with the retries of F-4."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..shared.clock import SimulatorClock
from ..shared.webhooks import Post

# Exponential, for about three days (F-4).
RETRY_SECONDS = tuple(min(60.0 * 4**step, 43_200.0) for step in range(10))
STALE_SECONDS = 3_600


@dataclass
class Signer:
    """The endpoint and its secrets (several, split by commas, while they are rolled)."""

    url: str
    secrets: str
    clock: SimulatorClock
    types: str = "*"

    def wants(self, type_: str) -> bool:
        """Whether the endpoint is subscribed to this type (Stripe's `enabled_events`)."""
        return bool(self.url) and any(fnmatchcase(type_, wanted.strip()) for wanted in self.types.split(","))

    def header(self, body: bytes, forgery: str | None = None) -> str:
        """`t=..,v1=..` over `"{t}.{body}"` (F-1); `forgery` makes it wrong, stale or from the future."""
        stamp = int(self.clock.wall())
        if forgery == "stale_signature":
            stamp -= STALE_SECONDS
        elif forgery == "future_signature":
            stamp += STALE_SECONDS
        secrets = ["whsec_forged"] if forgery == "bad_signature" else self.secrets.split(",")
        signed = str(stamp).encode() + b"." + body
        parts = [hmac.new(secret.strip().encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
        return ",".join([f"t={stamp}", *(f"v1={part}" for part in parts)])


@dataclass(frozen=True, slots=True)
class EventLetter:
    """One event for the desk: `body` is its JSON, frozen when it happened, the same in every delivery."""

    type: str
    event_id: str
    order_id: str | None
    body: bytes
    signer: Signer
    vendor: str = field(default="stripe")

    def write(self, attempt: int, forgery: str | None) -> Post | None:
        """The signed request; each attempt has its own time stamp."""
        if not self.signer.url:
            return None
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": self.signer.header(self.body, forgery),
        }
        return Post(self.signer.url, headers, self.body)

    def retry_seconds(self) -> Sequence[float]:
        """Intervals between attempts."""
        return RETRY_SECONDS
