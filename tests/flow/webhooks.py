"""Webhooks by hand: what a provider has told, told again, late, forged or spoiled.

Why: the simulators deliver well-formed events in their order; a test must be able to send any bytes in any order.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from services.chassis.clock import ManualClock
from simulators.app import RunningSimulators

STRIPE_KEY: Final = "sk_test_onefold"
STRIPE_SECRET: Final = "whsec_onefold"
PRINTFUL_SECRET: Final = "6f6e65666f6c64"
_CHUNK: Final = 65_536


class Webhooks:
    """The way from the providers to the gateway."""

    clock: ManualClock
    sim: RunningSimulators
    gateway_url: str
    http: httpx.AsyncClient

    async def stripe_events(self) -> list[dict[str, Any]]:
        """Everything that Stripe has told or would tell, oldest first; all orders."""
        found: list[dict[str, Any]] = []
        has_more = True
        while has_more:
            after = {"starting_after": found[-1]["id"]} if found else {}
            answer = await self.http.get(
                f"{self.sim.stripe_url}/v1/events",
                params={"limit": 100, **after},
                headers={"Authorization": f"Bearer {STRIPE_KEY}"},
            )
            page = answer.raise_for_status().json()
            found += page["data"]
            has_more = page["has_more"]
        return found[::-1]

    async def tell(
        self, event: dict[str, Any] | bytes, *, secret: str = STRIPE_SECRET, late_s: float = 0, chunked: bool = False
    ) -> int:
        """A webhook as Stripe sends it, signed `late_s` seconds ago; the gateway's answer."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        stamp = str(int(self.clock.now().timestamp() - late_s))
        digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return await self._post("stripe", body, {"Stripe-Signature": f"t={stamp},v1={digest}"}, chunked)

    async def tell_printful(self, body: bytes, *, secret: str) -> int:
        """A webhook as Printful sends it; the gateway's answer."""
        digest = hmac.new(bytes.fromhex(secret), body, hashlib.sha256).hexdigest()
        return await self._post("printful", body, {"x-pf-webhook-signature": digest})

    async def _post(self, source: str, body: bytes, headers: dict[str, str], chunked: bool = False) -> int:
        async def chunks() -> AsyncIterator[bytes]:
            for place in range(0, len(body), _CHUNK):
                yield body[place : place + _CHUNK]

        url = f"{self.gateway_url}/webhooks/{source}"
        return (await self.http.post(url, content=chunks() if chunked else body, headers=headers)).status_code
