"""The provider of the suite: Stripe's simulator, or a real test account where one is given.

Why: one suite for both, so that the simulator cannot drift from what it stands for.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from services.payments.providers.stripe import StripeProvider
from simulators.app import serve
from simulators.settings import SimulatorSettings

REAL_KEY = "ONEFOLD_TEST_STRIPE_KEY"  # sk_test_... of an account that may be written to
REAL_BASE = "https://api.stripe.com"


@dataclass(frozen=True)
class Account:
    """A provider, and the customer's side of it."""

    provider: StripeProvider
    base: str
    key: str

    async def confirm(self, intent_id: str, method: str) -> int:
        """Pay an intent with a test payment method; the HTTP status."""
        async with httpx.AsyncClient(timeout=30, headers={"Authorization": f"Bearer {self.key}"}) as client:
            answer = await client.post(
                f"{self.base}/v1/payment_intents/{intent_id}/confirm",
                data={"payment_method": method, "return_url": "https://shop.test/back"},
            )
            return answer.status_code


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    key = os.environ.get(REAL_KEY, "")
    if key:
        provider = _provider(key, REAL_BASE)
        yield Account(provider, REAL_BASE, key)
        await provider.close()
        return
    async with serve(SimulatorSettings(deliver=False)) as sim:
        provider = _provider("sk_test_onefold", sim.stripe_url)
        yield Account(provider, sim.stripe_url, "sk_test_onefold")
        await provider.close()


def _provider(key: str, base: str) -> StripeProvider:
    return StripeProvider(key, api_base=base, public_origin="https://shop.test", timeout=timedelta(seconds=20))
