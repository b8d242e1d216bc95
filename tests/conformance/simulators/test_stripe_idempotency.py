"""Idempotency keys as F-9 and F-10 describe them, seen through the official SDK."""

import asyncio
from typing import Any

import pytest
import stripe

from simulators.app import RunningSimulators

PARAMS: Any = {"amount": 1_999, "currency": "usd", "metadata": {"order_id": "o-1"}}


async def create(sdk: stripe.StripeClient, key: str, **more: Any) -> stripe.PaymentIntent:
    params: Any = {**PARAMS, **more}
    return await sdk.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def count(sdk: stripe.StripeClient) -> int:
    return len((await sdk.v1.payment_intents.list_async({"limit": 100})).data)


def headers(row: stripe.StripeObject) -> dict[str, str]:
    answer = row.last_response
    assert answer is not None and answer.headers is not None
    return {name.lower(): value for name, value in answer.headers.items()}


async def test_the_first_answer_is_replayed(sdk: stripe.StripeClient) -> None:
    first = await create(sdk, "key-1")
    second = await create(sdk, "key-1")
    assert (first.id, await count(sdk)) == (second.id, 1)
    assert "idempotent-replayed" not in headers(first)
    assert headers(second)["idempotent-replayed"] == "true"
    assert headers(second)["original-request"] == headers(first)["request-id"]
    assert headers(second)["request-id"] != headers(first)["request-id"]


async def test_a_replay_shows_the_answer_of_then(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    first = await create(sdk, "key-1")
    await sim.client.stripe.confirm(first.id)
    assert (await create(sdk, "key-1")).status == "requires_payment_method"


async def test_other_parameters_or_another_endpoint_are_refused(sdk: stripe.StripeClient) -> None:
    first = await create(sdk, "key-1")
    with pytest.raises(stripe.IdempotencyError):
        await create(sdk, "key-1", amount=2_000)
    with pytest.raises(stripe.IdempotencyError):
        await sdk.v1.payment_intents.cancel_async(first.id, {}, {"idempotency_key": "key-1"})
    assert await count(sdk) == 1


async def test_a_decline_is_replayed(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await create(sdk, "key-1", payment_method="pm_card_chargeDeclined", confirm=True)
    assert await count(sdk) == 1


@pytest.mark.parametrize(("kind", "made"), [("error_before", 0), ("error_after", 1)])
async def test_a_500_is_replayed(sdk: stripe.StripeClient, sim: RunningSimulators, kind: Any, made: int) -> None:
    await sim.client.faults.api(vendor="stripe", operation="payment_intents.create", kind=kind, order_id="o-1")
    for _ in range(3):
        with pytest.raises(stripe.APIError) as caught:
            await create(sdk, "key-1")
        assert caught.value.http_status == 500
    assert await count(sdk) == made
    await create(sdk, "key-2")
    assert await count(sdk) == made + 1


async def test_a_failed_validation_keeps_nothing(sdk: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await create(sdk, "key-1", amount=-5)
    assert (await create(sdk, "key-1")).amount == 1_999


async def test_concurrent_use_is_refused_and_keeps_nothing(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    await sim.client.faults.api(vendor="stripe", operation="payment_intents.create", kind="slow", delay_seconds=0.3)
    answers = await asyncio.gather(*(create(sdk, "key-1") for _ in range(5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, stripe.APIError)]
    made = [answer for answer in answers if isinstance(answer, stripe.PaymentIntent)]
    assert (len(made), len(refused), await count(sdk)) == (1, 4, 1)
    assert {(error.http_status, error.error.code if error.error else None) for error in refused} == {
        (409, "idempotency_key_in_use")
    }
    assert (await create(sdk, "key-1")).id == made[0].id


async def test_a_key_is_forgotten_after_24_hours(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    first = await create(sdk, "key-1")
    await sim.client.advance(24 * 3_600 - 5)
    assert (await create(sdk, "key-1")).id == first.id
    await sim.client.advance(10)
    assert (await create(sdk, "key-1")).id != first.id


async def test_429_comes_before_the_keys(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    await sim.client.faults.api(vendor="stripe", operation="payment_intents.*", kind="rate_limit", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            await create(sdk, "key-1")
    assert (await create(sdk, "key-1")).amount == 1_999
    assert await count(sdk) == 1


async def test_keys_have_at_most_255_characters(sdk: stripe.StripeClient) -> None:
    assert (await create(sdk, "k" * 255)).id
    with pytest.raises(stripe.InvalidRequestError):
        await create(sdk, "k" * 256)


@pytest.mark.requirement("R-1.4")
async def test_a_lost_answer_is_found_again_under_its_key(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    await sim.client.faults.api(vendor="stripe", operation="payment_intents.create", kind="timeout_after", times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            await create(sdk, "key-1")
    assert (await create(sdk, "key-1")).amount == 1_999
    assert await count(sdk) == 1
