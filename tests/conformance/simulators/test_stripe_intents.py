"""PaymentIntents through the official SDK: states, errors, limits and lists as Stripe documents them."""

from typing import Any

import httpx
import pytest
import stripe

from simulators.app import RunningSimulators
from simulators.client import SimulatorError


async def create(sdk: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    fixed: Any = {"amount": 1_999, "currency": "usd", "metadata": {"order_id": "o-1"}}
    wanted: Any = {**fixed, **params}
    return await sdk.v1.payment_intents.create_async(wanted)


async def events(sdk: stripe.StripeClient) -> list[str]:
    return [event.type for event in reversed((await sdk.v1.events.list_async({"limit": 100})).data)]


async def test_a_customer_pays_with_the_publishable_key(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    intent = await create(sdk)
    customer = stripe.StripeClient(
        "pk_test_onefold", base_addresses={"api": sim.stripe_url}, http_client=stripe.HTTPXClient()
    )
    params: Any = {"client_secret": intent.client_secret, "payment_method": "pm_card_visa"}
    paid = await customer.v1.payment_intents.confirm_async(intent.id, params)
    assert (intent.status, paid.status, paid.amount_received) == ("requires_payment_method", "succeeded", 1_999)
    assert await events(sdk) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    ledger = await sim.client.stripe.ledger("o-1")
    assert (ledger.times_charged, ledger.captured, ledger.payable) == (1, {"usd": 1_999}, [])
    with pytest.raises(stripe.PermissionError):
        await customer.v1.payment_intents.cancel_async(intent.id)
    with pytest.raises(stripe.InvalidRequestError):
        await customer.v1.payment_intents.retrieve_async(intent.id, {"client_secret": "pi_1_secret_2"})


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
async def test_a_declined_card_leaves_the_intent_payable(
    sdk: stripe.StripeClient, sim: RunningSimulators, method: str, code: str, decline_code: str
) -> None:
    intent = await create(sdk)
    with pytest.raises(stripe.CardError) as caught:
        await sdk.v1.payment_intents.confirm_async(intent.id, {"payment_method": method})
    error = caught.value.error
    assert error is not None
    assert (caught.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    assert error.payment_intent is not None and error.payment_intent.status == "requires_payment_method"
    again = await sdk.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_payment_error) == ("succeeded", None)
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 1


async def test_3ds_waits_for_the_customer(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    intent = await create(sdk, payment_method="pm_card_threeDSecure2Required", confirm=True)
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    failed = await sim.client.stripe.authenticate(intent.id, succeed=False)
    assert (failed.status, failed.error_code) == ("requires_payment_method", "payment_intent_authentication_failure")
    await sim.client.stripe.confirm(intent.id, "pm_card_threeDSecure2Required")
    assert (await sim.client.stripe.authenticate(intent.id)).status == "succeeded"


@pytest.mark.parametrize(("succeed", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_an_async_method_is_processing_first(
    sdk: stripe.StripeClient, sim: RunningSimulators, succeed: bool, status: str
) -> None:
    intent = await create(sdk, payment_method="pm_usBankAccount_success", confirm=True)
    assert intent.status == "processing"
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.payment_intents.cancel_async(intent.id)
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 0
    assert (await sim.client.stripe.settle(intent.id, succeed)).status == status
    assert (await sim.client.stripe.ledger("o-1")).times_charged == int(succeed)


async def test_part_of_an_authorisation_is_captured_and_the_rest_released(
    sdk: stripe.StripeClient, sim: RunningSimulators
) -> None:
    intent = await create(sdk, capture_method="manual", payment_method="pm_card_visa", confirm=True)
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 1_999)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2_000})
    captured = await sdk.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1_500})
    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 1_500, 0)
    ledger = await sim.client.stripe.ledger("o-1")
    assert [(entry.kind, entry.amount_minor) for entry in ledger.entries] == [
        ("authorized", 1_999),
        ("released", 499),
        ("captured", 1_500),
    ]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await sdk.v1.payment_intents.capture_async(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


async def test_an_uncaptured_authorisation_lapses_after_seven_days(
    sdk: stripe.StripeClient, sim: RunningSimulators
) -> None:
    intent = await create(sdk, capture_method="manual", payment_method="pm_card_visa", confirm=True)
    await sim.client.advance(7 * 86_400 + 1)
    lapsed = await sdk.v1.payment_intents.retrieve_async(intent.id)
    assert (lapsed.status, lapsed.cancellation_reason) == ("canceled", "automatic")
    assert (await sim.client.stripe.ledger("o-1")).net == {}


async def test_cancelling_ends_an_intent_once(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    intent = await create(sdk)
    assert (await sim.client.stripe.ledger("o-1")).payable == [intent.id]
    canceled = await sdk.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert (await sim.client.stripe.ledger("o-1")).payable == []
    for refused in (
        sdk.v1.payment_intents.cancel_async(intent.id),
        sdk.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"}),
        sdk.v1.payment_intents.update_async(intent.id, {"amount": 500}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await refused
        assert caught.value.code == "payment_intent_unexpected_state"
    with pytest.raises(SimulatorError):
        await sim.client.stripe.confirm(intent.id)


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"amount": 0}, "amount", "parameter_invalid_integer"),
        ({"amount": 49}, "amount", "amount_too_small"),
        ({"amount": 100_000_000}, "amount", "amount_too_large"),
        ({"amount": "12.5"}, "amount", "parameter_invalid_integer"),
        ({"amount": 1_005, "currency": "kwd"}, "amount", None),
        ({"currency": "dollars"}, "currency", None),
        ({"metadata": {"k" * 41: "v"}}, f"metadata[{'k' * 41}]", None),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"metadata": {f"k{n}": "v" for n in range(51)}}, "metadata", None),
        ({"colour": "red"}, "colour", "parameter_unknown"),
        ({"payment_method": "pm_unheard_of"}, "payment_method", "resource_missing"),
    ],
)
async def test_bad_parameters_are_named(
    sdk: stripe.StripeClient, params: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await create(sdk, **params)
    assert (caught.value.http_status, caught.value.param, caught.value.code) == (400, param, code)


async def test_odd_currencies_are_charged_in_their_own_units(sdk: stripe.StripeClient) -> None:
    assert (await create(sdk, amount=500, currency="jpy")).amount == 500
    assert (await create(sdk, amount=1_250, currency="KWD")).currency == "kwd"


async def test_metadata_is_merged_and_unset(sdk: stripe.StripeClient) -> None:
    intent = await create(sdk)
    merged = await sdk.v1.payment_intents.update_async(intent.id, {"metadata": {"note": "x"}})
    assert merged.metadata.to_dict() == {"order_id": "o-1", "note": "x"}
    unset = await sdk.v1.payment_intents.update_async(intent.id, {"metadata": {"note": ""}})
    assert unset.metadata.to_dict() == {"order_id": "o-1"}


async def test_lists_page_newest_first(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    ids = [(await create(sdk)).id for _ in range(7)]
    await sim.client.advance(100)
    late = await create(sdk)
    first = await sdk.v1.payment_intents.list_async({"limit": 3})
    assert ([row.id for row in first.data], first.has_more) == ([late.id, ids[6], ids[5]], True)
    rest = await sdk.v1.payment_intents.list_async({"limit": 100, "starting_after": ids[5]})
    assert ([row.id for row in rest.data], rest.has_more) == (ids[4::-1], False)
    assert [row.id async for row in first.auto_paging_iter()] == [late.id, *reversed(ids)]
    recent = await sdk.v1.payment_intents.list_async({"created": {"gte": late.created}})
    assert [row.id for row in recent.data] == [late.id]
    before = await sdk.v1.payment_intents.list_async({"ending_before": ids[5], "limit": 1})
    assert ([row.id for row in before.data], before.has_more) == ([ids[6]], True)


async def test_a_wrong_key_and_an_unknown_id_are_refused(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    stranger = stripe.StripeClient(
        "sk_test_wrong", base_addresses={"api": sim.stripe_url}, http_client=stripe.HTTPXClient()
    )
    with pytest.raises(stripe.AuthenticationError):
        await stranger.v1.payment_intents.list_async()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await sdk.v1.payment_intents.retrieve_async("pi_nothing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    async with httpx.AsyncClient(trust_env=False) as http:
        unknown = await http.get(sim.stripe_url + "/v1/planets")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["type"] == "invalid_request_error"
