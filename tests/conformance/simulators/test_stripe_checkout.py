"""Checkout Sessions through the official SDK, their hosted page as a browser uses it, refunds and disputes."""

from typing import Any

import httpx
import pytest
import stripe

from simulators.app import RunningSimulators
from simulators.client import SimulatorError

SUCCESS = "https://shop.example/checkout/success?session_id={CHECKOUT_SESSION_ID}"


async def create(sdk: stripe.StripeClient, **params: Any) -> stripe.checkout.Session:
    line: Any = {
        "price_data": {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Mug <b>"}},
        "quantity": 2,
    }
    fixed: Any = {
        "mode": "payment",
        "success_url": SUCCESS,
        "cancel_url": "https://shop.example/checkout/cancel",
        "line_items": [line],
        "metadata": {"order_id": "o-1"},
    }
    wanted: Any = {**fixed, **params}
    return await sdk.v1.checkout.sessions.create_async(wanted)


async def retrieve(sdk: stripe.StripeClient, session: stripe.checkout.Session) -> stripe.checkout.Session:
    return await sdk.v1.checkout.sessions.retrieve_async(session.id)


async def events(sdk: stripe.StripeClient) -> list[str]:
    listed = (await sdk.v1.events.list_async({"limit": 100})).data
    return [event.type for event in reversed(listed) if event.type.startswith("checkout")]


async def test_a_session_makes_its_intent_when_it_is_paid(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    session = await create(sdk, payment_intent_data={"metadata": {"order_id": "o-1", "attempt": "1"}})
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_total, session.currency) == (1_400, "usd")
    assert (await sim.client.stripe.ledger("o-1")).payable == [session.id]
    view = await sim.client.stripe.pay_session(session.id)
    assert view.redirect_url == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    paid = await retrieve(sdk, session)
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    intent = await sdk.v1.payment_intents.retrieve_async(str(paid.payment_intent))
    assert (intent.status, intent.metadata["attempt"]) == ("succeeded", "1")
    assert await events(sdk) == ["checkout.session.completed"]
    assert (await sim.client.stripe.ledger("o-1")).captured == {"usd": 1_400}
    found = await sdk.v1.checkout.sessions.list_async({"payment_intent": intent.id})
    assert [row.id for row in found.data] == [session.id]


async def test_a_declined_card_leaves_the_session_open(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    session = await create(sdk)
    view = await sim.client.stripe.pay_session(session.id, "pm_card_chargeDeclined")
    assert (view.status, view.payment_status, view.error_code) == ("open", "unpaid", "generic_decline")
    intent_id = view.payment_intent
    assert (await sim.client.stripe.pay_session(session.id)).payment_intent == intent_id
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 1


async def test_the_intent_of_a_session_is_cancelled_by_expiring_it(
    sdk: stripe.StripeClient, sim: RunningSimulators
) -> None:
    session = await create(sdk)
    view = await sim.client.stripe.pay_session(session.id, "pm_card_threeDSecure2Required")
    assert (view.status, view.payable) == ("open", True)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.payment_intents.cancel_async(str(view.payment_intent))
    expired = await sdk.v1.checkout.sessions.expire_async(session.id)
    intent = await sdk.v1.payment_intents.retrieve_async(str(view.payment_intent))
    assert (expired.status, intent.status) == ("expired", "canceled")
    assert (await sim.client.stripe.ledger("o-1")).payable == []
    with pytest.raises(SimulatorError):
        await sim.client.stripe.pay_session(session.id)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.checkout.sessions.expire_async(session.id)


@pytest.mark.parametrize("succeed", [True, False])
async def test_an_async_payment_completes_the_session_unpaid(
    sdk: stripe.StripeClient, sim: RunningSimulators, succeed: bool
) -> None:
    session = await create(sdk)
    view = await sim.client.stripe.pay_session(session.id, "pm_usBankAccount_success")
    assert (view.status, view.payment_status) == ("complete", "unpaid")
    await sim.client.stripe.settle(str(view.payment_intent), succeed)
    assert (await retrieve(sdk, session)).payment_status == ("paid" if succeed else "unpaid")
    ending = "async_payment_succeeded" if succeed else "async_payment_failed"
    assert await events(sdk) == ["checkout.session.completed", f"checkout.session.{ending}"]


async def test_after_a_failed_async_payment_the_intent_can_be_cancelled(
    sdk: stripe.StripeClient, sim: RunningSimulators
) -> None:
    view = await sim.client.stripe.pay_session((await create(sdk)).id, "pm_usBankAccount_success")
    await sim.client.stripe.settle(str(view.payment_intent), succeed=False)
    assert (await sim.client.stripe.ledger("o-1")).payable == [view.payment_intent]
    canceled = await sdk.v1.payment_intents.cancel_async(str(view.payment_intent))
    assert (canceled.status, (await sim.client.stripe.ledger("o-1")).payable) == ("canceled", [])


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after"])
async def test_the_hosted_page_can_lose_its_answer(sdk: stripe.StripeClient, sim: RunningSimulators, kind: Any) -> None:
    session = await create(sdk)
    await sim.client.faults.api(vendor="stripe", operation="checkout.sessions.pay", kind=kind)
    async with httpx.AsyncClient(trust_env=False) as browser:
        with pytest.raises(httpx.TransportError):
            await browser.post(str(session.url), data={"action": "pay"})
    assert (await sim.client.stripe.ledger("o-1")).times_charged == int(kind == "timeout_after")


@pytest.mark.parametrize(("seconds", "fits"), [(1_700, False), (1_805, True), (86_390, True), (86_500, False)])
async def test_a_session_expires_between_30_minutes_and_24_hours(
    sdk: stripe.StripeClient, sim: RunningSimulators, seconds: int, fits: bool
) -> None:
    expires_at = int(await sim.client.now()) + seconds
    if not fits:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await create(sdk, expires_at=expires_at)
        assert caught.value.param == "expires_at"
        return
    session = await create(sdk, expires_at=expires_at)
    await sim.client.advance(seconds + 1)
    assert (await retrieve(sdk, session)).status == "expired"
    assert await events(sdk) == ["checkout.session.expired"]


async def test_a_browser_pays_on_the_hosted_page(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    session = await create(sdk)
    assert session.url is not None and session.url.startswith(sim.url)
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(session.url)
        assert "14.00 USD" in page.text and "Mug &lt;b&gt;" in page.text
        declined = await browser.post(session.url, data={"action": "pay", "card_number": "4000 0000 0000 0002"})
        assert (declined.status_code, "Your card was declined." in declined.text) == (402, True)
        asked = await browser.post(session.url, data={"action": "pay", "card_number": "4000000000003220"})
        assert (asked.status_code, "Complete authentication" in asked.text) == (200, True)
        left = await browser.post(session.url, data={"action": "abandon"})
        assert (left.status_code, left.headers["location"]) == (303, "https://shop.example/checkout/cancel")
        paid = await browser.post(session.url, data={"action": "authenticate"})
        assert paid.status_code == 303
        assert paid.headers["location"].endswith(session.id)
        assert "This payment page is complete." in (await browser.get(session.url)).text
    assert (await sim.client.stripe.ledger("o-1")).times_charged == 1


async def test_manual_capture_on_a_session(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    session = await create(sdk, payment_intent_data={"capture_method": "manual"})
    view = await sim.client.stripe.pay_session(session.id)
    assert (view.status, view.payment_status) == ("complete", "unpaid")
    await sdk.v1.payment_intents.capture_async(str(view.payment_intent))
    assert (await retrieve(sdk, session)).payment_status == "paid"


async def test_refunds_are_capped_and_may_fail_later(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    view = await sim.client.stripe.pay_session((await create(sdk)).id)
    intent = str(view.payment_intent)
    part = await sdk.v1.refunds.create_async({"payment_intent": intent, "amount": 400})
    charge = await sdk.v1.charges.retrieve_async(str(part.charge))
    assert (part.status, charge.amount_refunded, charge.refunded) == ("succeeded", 400, False)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.refunds.create_async({"payment_intent": intent, "amount": 1_001})
    rest = await sdk.v1.refunds.create_async({"charge": charge.id})
    assert (rest.amount, (await sdk.v1.charges.retrieve_async(charge.id)).refunded) == (1_000, True)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await sdk.v1.refunds.create_async({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"
    await sim.client.stripe.fail_refund(rest.id)
    failed = await sdk.v1.refunds.retrieve_async(rest.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    ledger = await sim.client.stripe.ledger("o-1")
    assert (ledger.captured, ledger.refunded, ledger.net) == ({"usd": 1_400}, {"usd": 400}, {"usd": 1_000})
    listed = await sdk.v1.refunds.list_async({"payment_intent": intent})
    assert [row.id for row in listed.data] == [rest.id, part.id]


async def test_refunds_in_three_decimals_go_in_tens(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    price = {"currency": "kwd", "unit_amount": 10_000, "product_data": {"name": "Mug"}}
    view = await sim.client.stripe.pay_session(
        (await create(sdk, line_items=[{"price_data": price, "quantity": 1}])).id
    )
    intent = str(view.payment_intent)
    with pytest.raises(stripe.InvalidRequestError, match="multiples of ten"):
        await sdk.v1.refunds.create_async({"payment_intent": intent, "amount": 3_335})
    assert (await sdk.v1.refunds.create_async({"payment_intent": intent, "amount": 3_330})).amount == 3_330


async def test_a_pending_refund_arrives_later(sdk: stripe.StripeClient, sim: RunningSimulators) -> None:
    view = await sim.client.stripe.pay_session((await create(sdk)).id, "pm_card_pendingRefund")
    refund = await sdk.v1.refunds.create_async({"payment_intent": str(view.payment_intent)})
    assert (refund.status, (await sim.client.stripe.ledger("o-1")).refund_pending) == ("pending", {"usd": 1_400})
    assert (await sim.client.stripe.settle_refund(refund.id)).status == "succeeded"
    assert (await sim.client.stripe.ledger("o-1")).refund_pending == {}


@pytest.mark.parametrize(("won", "net"), [(True, {"usd": 1_400}), (False, {"usd": 0})])
async def test_a_dispute_takes_the_money_until_it_is_won(
    sdk: stripe.StripeClient, sim: RunningSimulators, won: bool, net: dict[str, int]
) -> None:
    view = await sim.client.stripe.pay_session((await create(sdk)).id)
    dispute = await sim.client.stripe.open_dispute(str(view.payment_intent))
    assert (await sim.client.stripe.ledger("o-1")).net == {"usd": 0}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await sdk.v1.refunds.create_async({"payment_intent": str(view.payment_intent)})
    assert caught.value.code == "charge_disputed"
    await sim.client.stripe.close_dispute(dispute.id, won=won)
    closed = await sdk.v1.disputes.retrieve_async(dispute.id)
    assert closed.status == ("won" if won else "lost")
    assert (await sim.client.stripe.ledger("o-1")).net == net
