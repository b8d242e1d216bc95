"""Scripted faults on Stripe's API: who was charged, and what the caller could know."""

import asyncio
import time
from typing import Any

import pytest
import stripe

from simulators.app import RunningSimulators, serve
from simulators.settings import SimulatorSettings

PARAMS: Any = {"amount": 1_999, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


async def pay(sdk: stripe.StripeClient, order_id: str = "o-1") -> stripe.PaymentIntent:
    params: Any = {**PARAMS, "metadata": {"order_id": order_id}}
    return await sdk.v1.payment_intents.create_async(params)


@pytest.mark.parametrize(("kind", "charged"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_a_time_out_hides_whether_it_happened(
    sdk: stripe.StripeClient, sim: RunningSimulators, kind: Any, charged: int
) -> None:
    await sim.client.faults.api(vendor="stripe", operation="payment_intents.create", kind=kind, order_id="o-1")
    assert (await pay(sdk, "o-2")).status == "succeeded"
    with pytest.raises(stripe.APIConnectionError):
        await pay(sdk)
    assert (await sim.client.stripe.ledger("o-1")).times_charged == charged
    assert (await sim.client.faults.list()).api == []


async def test_an_answer_can_hang_until_the_caller_gives_up(sim: RunningSimulators) -> None:
    http: Any = stripe.HTTPXClient(timeout=0.2)
    sdk = stripe.StripeClient("sk_test_onefold", base_addresses={"api": sim.stripe_url}, http_client=http)
    await sim.client.faults.api(vendor="stripe", kind="timeout_after", answer="hang")
    with pytest.raises(stripe.APIConnectionError):
        await pay(sdk)
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 1
    await http.close_async()


@pytest.mark.parametrize("kind", ["slow", "timeout_after"])
async def test_an_answer_can_be_late(sdk: stripe.StripeClient, sim: RunningSimulators, kind: Any) -> None:
    await sim.client.faults.api(vendor="stripe", kind=kind, answer="late", delay_seconds=0.15)
    began = time.monotonic()
    assert (await pay(sdk)).status == "succeeded"
    assert time.monotonic() - began >= 0.15


async def test_the_sdk_s_own_retries_charge_once(sim: RunningSimulators) -> None:
    http: Any = stripe.HTTPXClient()
    sdk = stripe.StripeClient(
        "sk_test_onefold", base_addresses={"api": sim.stripe_url}, max_network_retries=2, http_client=http
    )
    await sim.client.faults.api(vendor="stripe", kind="timeout_after", times=2)
    assert (await pay(sdk)).status == "succeeded"
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 1
    await http.close_async()


@pytest.mark.parametrize(
    ("kind", "status"),
    [("decline", "requires_payment_method"), ("require_action", "requires_action"), ("async", "processing")],
)
async def test_a_good_card_meets_a_scripted_outcome(
    sdk: stripe.StripeClient, sim: RunningSimulators, kind: Any, status: str
) -> None:
    intent = await sdk.v1.payment_intents.create_async(
        {"amount": 1_999, "currency": "usd", "metadata": {"order_id": "o-1"}}
    )
    await sim.client.faults.api(
        vendor="stripe", operation="payment_intents.confirm", kind=kind, order_id="o-*", code="insufficient_funds"
    )
    view = await sim.client.stripe.confirm(intent.id)
    assert (view.status, view.error_code) == (status, "insufficient_funds" if kind == "decline" else None)


async def test_the_rate_limit_of_a_sandbox() -> None:
    async with serve(SimulatorSettings(deliver=False, stripe_calls_per_second=25)) as sim:
        http: Any = stripe.HTTPXClient()
        sdk = stripe.StripeClient("sk_test_onefold", base_addresses={"api": sim.stripe_url}, http_client=http)
        first, *_ = await asyncio.gather(*(sdk.v1.events.list_async() for _ in range(26)), return_exceptions=True)
        refused = await asyncio.gather(*(sdk.v1.events.list_async() for _ in range(1)), return_exceptions=True)
        assert not isinstance(first, BaseException)
        assert [type(error) for error in refused] == [stripe.RateLimitError]
        await sim.client.advance(1.0)
        assert (await sdk.v1.events.list_async()).data == []
        await http.close_async()


async def test_reset_forgets_everything_but_the_endpoints(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    await pay(sdk)
    await sim.client.faults.api(vendor="stripe", kind="rate_limit")
    await sim.client.reset()
    assert (await sim.client.stripe.ledger()).entries == []
    assert (await sdk.v1.payment_intents.list_async()).data == []
