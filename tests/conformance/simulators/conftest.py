"""Fixtures: running simulators, the official SDK on them, a Printful client, and a receiver of webhooks."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe
from starlette.applications import Starlette
from starlette.routing import Route

from simulators.app import RunningSimulators, listening, serve
from simulators.settings import SimulatorSettings
from tests.conformance.simulators.receiver import SECRET, Receiver


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulators]:
    async with serve(SimulatorSettings(deliver=False)) as running:
        yield running


@pytest.fixture
async def sdk(sim: RunningSimulators) -> AsyncIterator[stripe.StripeClient]:
    http: Any = stripe.HTTPXClient()
    yield stripe.StripeClient(
        "sk_test_onefold", base_addresses={"api": sim.stripe_url}, max_network_retries=0, http_client=http
    )
    await http.close_async()


@pytest.fixture
async def printful(sim: RunningSimulators) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer pf_test_onefold", "X-PF-Store-Id": "1"}
    async with httpx.AsyncClient(base_url=sim.printful_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
async def receiver(sim: RunningSimulators) -> AsyncIterator[Receiver]:
    """Both vendors send here."""
    keeper = Receiver()
    async with listening(Starlette(routes=[Route("/hook", keeper.take, methods=["POST"])])) as url:
        keeper.url = url + "/hook"
        await sim.client.webhooks.configure(stripe_url=keeper.url, stripe_secret=SECRET, printful_url=keeper.url)
        yield keeper
