"""Printful's webhooks, v1 unsigned or v2 signed; no event id, and `retries` changes in the body (F-19)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..shared.webhooks import Post

# After 1, 4, 16, 64, 256 and 1024 minutes (vendor's Webhook API page).
RETRY_SECONDS = tuple(60.0 * 4**step for step in range(6))
# Our word -> (v1's, v2's); v1 says nothing of delivery.
TYPES: dict[str, tuple[str | None, str]] = {
    "shipment_sent": ("package_shipped", "shipment_sent"),
    "shipment_delivered": (None, "shipment_delivered"),
    "shipment_returned": ("package_returned", "shipment_returned"),
    "order_created": ("order_created", "order_created"),
    "order_updated": ("order_updated", "order_updated"),
    "order_failed": ("order_failed", "order_failed"),
    "order_canceled": ("order_canceled", "order_canceled"),
    "order_put_hold": ("order_put_hold", "order_put_hold"),
    "order_remove_hold": ("order_remove_hold", "order_remove_hold"),
}


@dataclass
class Endpoint:
    """Where to send, how to sign (hex secret, decoded before use) and in which version."""

    url: str
    secret: str
    version: str

    def sign(self, body: bytes, forgery: str | None) -> str:
        """Hex HMAC-SHA256 of the raw body (F-19)."""
        key = b"forged" if forgery is not None else bytes.fromhex(self.secret)
        return hmac.new(key, body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Notice:
    """One event for the desk; `bodies` holds the frozen v1 and v2 forms, without `retries`."""

    number: int
    kind: str
    order_id: str | None
    bodies: tuple[dict[str, Any], dict[str, Any]]
    endpoint: Endpoint
    vendor: str = field(default="printful")

    @property
    def type(self) -> str:
        """The vendor's word in the version in use."""
        old, new = TYPES[self.kind]
        return new if self.endpoint.version == "v2" else old or new

    @property
    def event_id(self) -> str:
        """The simulator's own number; the wire has none."""
        return f"pfevt_{self.number}"

    def write(self, attempt: int, forgery: str | None) -> Post | None:
        """The request of this attempt."""
        old, _ = TYPES[self.kind]
        if not self.endpoint.url or (self.endpoint.version == "v1" and old is None):
            return None
        frozen = self.bodies[1] if self.endpoint.version == "v2" else self.bodies[0]
        body = json.dumps({**frozen, "type": self.type, "retries": attempt}, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "Printful Webhook"}
        if self.endpoint.version == "v2":
            signed_wrongly = forgery if forgery is not None and forgery.endswith("_signature") else None
            headers["x-pf-webhook-signature"] = self.endpoint.sign(body, signed_wrongly)
            headers["x-pf-webhook-public-key"] = base64.b64encode(b"onefold-simulator").decode()
        return Post(self.endpoint.url, headers, body)

    def retry_seconds(self) -> Sequence[float]:
        """Intervals between attempts."""
        return RETRY_SECONDS
