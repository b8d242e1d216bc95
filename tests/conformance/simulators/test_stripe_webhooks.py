"""Stripe's webhooks: signed so that the SDK accepts them, retried, and spoiled exactly as scripted."""

import json
from typing import Any

import pytest
import stripe

from simulators.app import RunningSimulators
from tests.conformance.simulators.receiver import SECRET, Receiver


async def pay(sdk: stripe.StripeClient, order_id: str = "o-1") -> stripe.PaymentIntent:
    params: Any = {"amount": 1_999, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    params["metadata"] = {"order_id": order_id}
    return await sdk.v1.payment_intents.create_async(params)


def types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in receiver.received]


CREATED, CHARGED, PAID = "payment_intent.created", "charge.succeeded", "payment_intent.succeeded"


async def test_the_sdk_accepts_the_signature(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    intent = await pay(sdk)
    await sim.client.advance(3_600)
    report = await sim.client.webhooks.deliver()
    assert (report.sent, report.failed, report.waiting) == (3, 0, 0)
    assert types(receiver) == [CREATED, CHARGED, PAID]
    headers, body = receiver.received[-1]
    event = stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET)
    assert event.id == (await sdk.v1.events.list_async({"type": PAID})).data[0].id
    assert isinstance(event.data.object, stripe.PaymentIntent)
    assert (event.data.object.id, event.data.object.status) == (intent.id, "succeeded")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", headers["stripe-signature"], SECRET)


async def test_two_secrets_sign_while_they_are_rolled(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await sim.client.webhooks.configure(stripe_secret="whsec_old,whsec_new")
    await pay(sdk)
    await sim.client.webhooks.deliver()
    headers, body = receiver.received[0]
    for secret in ("whsec_old", "whsec_new"):
        assert stripe.Webhook.construct_event(body, headers["stripe-signature"], secret)


async def test_only_subscribed_types_are_sent(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await sim.client.webhooks.configure(stripe_types="payment_intent.succeeded, refund.*")
    await pay(sdk)
    await sim.client.webhooks.deliver()
    assert types(receiver) == [PAID]
    assert len((await sdk.v1.events.list_async()).data) == 3


async def test_a_refused_delivery_is_retried_with_a_new_stamp(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    receiver.answers = [500]
    await pay(sdk)
    first = await sim.client.webhooks.deliver()
    assert (first.sent, first.failed, first.waiting) == (2, 1, 1)
    assert (await sim.client.webhooks.deliver()).sent == 0
    await sim.client.advance(60)
    assert (await sim.client.webhooks.deliver()).sent == 1
    assert types(receiver) == [CREATED, CHARGED, PAID, CREATED]
    bodies = [json.loads(body) for _, body in receiver.received]
    assert bodies[0] == bodies[3]
    log = await sim.client.webhooks.log()
    assert [(entry.attempt, entry.status_code) for entry in log] == [(0, 500), (0, 200), (0, 200), (1, 200)]


async def test_one_round_sends_everything_that_is_due(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    for _ in range(30):
        await pay(sdk)
    report = await sim.client.webhooks.deliver()
    assert (report.sent, report.waiting, len(receiver.received)) == (90, 0, 90)


@pytest.mark.parametrize(
    ("kind", "arrived"),
    [
        ("duplicate", [CREATED, CHARGED, CHARGED, PAID]),
        ("reorder", [CREATED, PAID, CHARGED]),
        ("lost", [CREATED, PAID]),
        ("late", [CREATED, PAID]),
    ],
)
async def test_a_delivery_is_spoiled_once(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver, kind: Any, arrived: list[str]
) -> None:
    await sim.client.faults.webhook(
        vendor="stripe", type="charge.*", kind=kind, order_id="o1", delay_seconds=0 if kind == "reorder" else 100
    )
    await pay(sdk, "o-2")
    await sim.client.webhooks.deliver()
    assert types(receiver) == [CREATED, CHARGED, PAID]
    receiver.received.clear()
    await pay(sdk, "o-1")
    await sim.client.webhooks.deliver()
    assert types(receiver) == arrived
    assert len((await sdk.v1.events.list_async({"type": CHARGED})).data) == 2
    await sim.client.advance(101)
    await sim.client.webhooks.deliver()
    assert types(receiver) == arrived + ([CHARGED] if kind == "late" else [])


@pytest.mark.parametrize("kind", ["bad_signature", "stale_signature"])
async def test_a_wrong_signature_is_wrong_for_one_attempt(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver, kind: Any
) -> None:
    await sim.client.faults.webhook(vendor="stripe", type=PAID, kind=kind)
    receiver.answers = [200, 200, 400]
    await pay(sdk)
    await sim.client.webhooks.deliver()
    headers, body = receiver.received[-1]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET)
    await sim.client.webhooks.deliver(late=True)
    headers, body = receiver.received[-1]
    assert stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET).type == PAID


async def test_a_signature_from_the_future_passes_the_sdk(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await sim.client.faults.webhook(vendor="stripe", type=PAID, kind="future_signature")
    await pay(sdk)
    await sim.client.webhooks.deliver()
    headers, body = receiver.received[-1]
    assert stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET)
    stamp = int(headers["stripe-signature"].partition(",")[0].removeprefix("t="))
    assert stamp > await sim.client.now() + 3_000


async def test_events_can_be_sent_in_any_order_and_again(
    sdk: stripe.StripeClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await pay(sdk)
    assert await sim.client.webhooks.discard() == 3
    ids = [event.id for event in (await sdk.v1.events.list_async()).data]
    for event_id in [*ids, ids[0]]:
        await sim.client.webhooks.resend(event_id)
    await sim.client.webhooks.deliver()
    assert types(receiver) == [PAID, CHARGED, CREATED, PAID]
    await sim.client.stripe.emit("customer.created", {"object": "customer", "id": "cus_1"})
    await sim.client.webhooks.deliver()
    assert types(receiver)[-1] == "customer.created"


async def test_events_are_kept_for_30_days(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    await pay(sdk)
    [event] = (await sdk.v1.events.list_async({"type": PAID})).data
    await sim.client.advance(31 * 86_400)
    assert (await sdk.v1.events.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.events.retrieve_async(event.id)
