"""Refunds, captures and disputes: what goes back never exceeds what came."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import stripe
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from services.chassis.ids import new_id
from tests.component.payments.counter import Counter, cancellation, capture, refund

SDK: Any = stripe  # the SDK's errors have constructors without types
UNBALANCED = """
SELECT count(*) FROM (
    SELECT debit AS account, currency, amount_minor FROM payment_transactions
    UNION ALL SELECT credit, currency, -amount_minor FROM payment_transactions
) entries GROUP BY currency HAVING sum(amount_minor) <> 0
"""


@pytest.mark.requirement("S-18", "R-1.12")
async def test_a_refund_is_made_once_and_told(counter: Counter) -> None:
    order_id, refund_id = new_id(), new_id()
    await counter.pay(order_id)
    await counter.tell()
    await counter.hear(refund(order_id, 1_000, refund_id))
    await counter.hear(refund(order_id, 1_000, refund_id))
    await counter.settle_operations()
    await counter.tell()
    ledger = await counter.sim.client.stripe.ledger(order_id)
    assert (ledger.captured, ledger.refunded) == ({"usd": 1_000}, {"usd": 1_000})
    told = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.RefundSucceeded)]
    assert [(m.refund_id, m.amount.amount_minor, m.snapshot.refunded_minor) for m in told] == [
        (refund_id, 1_000, 1_000)
    ]


@pytest.mark.requirement("S-18")
async def test_refunds_are_capped_under_the_lock(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    await counter.tell()
    await counter.hear(refund(order_id, 700), refund(order_id, 700))
    await counter.settle_operations()
    await counter.tell()
    assert (await counter.sim.client.stripe.ledger(order_id)).refunded == {"usd": 1_000}
    assert await counter.open_incidents() == ["refund_over_cap"]
    await counter.hear(refund(order_id, 1))
    assert (await counter.names(order_id))[-1] in ("RefundFailed", "IncidentRaised")
    assert await counter.database.fetchval("SELECT count(*) FROM refunds") == 2


@pytest.mark.requirement("R-1.12", "S-18")
async def test_a_refund_that_fails_later_is_reversed_and_can_be_tried_again(counter: Counter) -> None:
    order_id, refund_id = new_id(), new_id()
    await counter.pay(order_id, "pm_card_refundFail")
    await counter.tell()
    await counter.hear(refund(order_id, 1_000, refund_id))
    await counter.settle_operations()
    await counter.sim.client.webhooks.deliver(late=True)
    await counter.tell()
    row = await counter.database.fetchrow("SELECT provider_refund_id, state FROM refunds")
    assert row is not None
    if row["state"] != "FAILED":
        await counter.sim.client.stripe.fail_refund(row["provider_refund_id"])
        await counter.tell()
    snapshot = (await counter.get(order_id)).payment.snapshot
    assert (snapshot.refunded_minor, snapshot.refund_pending_minor) == (0, 0)
    assert "RefundFailed" in await counter.names(order_id)
    assert await counter.open_incidents() == ["refund_failed"]
    await counter.hear(refund(order_id, 1_000, refund_id))
    assert await counter.database.fetchval("SELECT count(*) FROM refunds WHERE state = 'PENDING'") == 1


def refuses(counter: Counter, patch: pytest.MonkeyPatch, call: str, error: stripe.StripeError) -> None:
    """From now on Stripe answers this call with an error."""

    async def refuse(*_: Any) -> None:
        raise error

    provider: Any = counter.context.provider
    patch.setitem(provider._calls, call, refuse)


@pytest.mark.requirement("S-15", "S-18")
async def test_a_refund_that_our_key_may_not_make_is_told_to_a_person_and_made_later(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    await counter.tell()
    body = {"error": {"type": "invalid_request_error", "message": "The key lacks a permission."}}
    refuses(counter, monkeypatch, "refunds.create", SDK.PermissionError("No.", http_status=403, json_body=body))
    await counter.hear(refund(order_id, 1_000))
    for hours in (1, 23, 1):
        await counter.settle_operations()
        counter.clock.advance(timedelta(hours=hours))
    await counter.settle_operations()
    assert await counter.open_incidents() == ["operation_delayed"]
    monkeypatch.undo()
    counter.clock.advance(timedelta(hours=1))
    await counter.settle_operations()
    assert await counter.open_incidents() == []
    assert (await counter.sim.client.stripe.ledger(order_id)).refunded == {"usd": 1_000}


@pytest.mark.requirement("S-15", "S-18")
async def test_a_refusal_that_shows_the_intent_fails_the_refund(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id, refund_id = new_id(), new_id()
    intent = await counter.pay(order_id)
    await counter.tell()
    shown = {"id": intent, "object": "payment_intent", "status": "succeeded", "currency": "usd", "amount": 1_000}
    body = {"error": {"code": "charge_disputed", "message": "No.", "payment_intent": shown}}
    refused = SDK.InvalidRequestError("No.", None, code="charge_disputed", http_status=400, json_body=body)
    refuses(counter, monkeypatch, "refunds.create", refused)
    await counter.hear(refund(order_id, 1_000, refund_id))
    await counter.settle_operations()
    told = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.RefundFailed)]
    assert [(m.refund_id, m.code, m.snapshot.refund_pending_minor) for m in told] == [(refund_id, "charge_disputed", 0)]
    assert await counter.open_incidents() == ["refund_failed"]


@pytest.mark.requirement("S-18", "S-13")
async def test_a_refund_made_at_the_provider_is_adopted(counter: Counter) -> None:
    order_id = new_id()
    intent = await counter.pay(order_id)
    await counter.refund_at_the_provider(intent, 400)
    await counter.tell()
    snapshot = (await counter.get(order_id)).payment.snapshot
    assert snapshot.refunded_minor == 400
    told = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.RefundSucceeded)]
    assert [m.refund_id for m in told] == [""]


@pytest.mark.requirement("S-18", "F-8")
async def test_a_total_that_we_do_not_know_makes_us_ask(counter: Counter) -> None:
    order_id = new_id()
    intent = await counter.pay(order_id)
    await counter.refund_at_the_provider(intent, 400)
    lost = (b'"type": "refund.created"', b'"type": "refund.updated"', b'"type": "charge.refund.updated"')
    await counter.ingest(*[b for b in await counter.webhooks() if not any(word in b for word in lost)])
    assert (await counter.get(order_id)).payment.snapshot.refunded_minor == 0
    assert await counter.jobs.ask_provider() == 1
    assert (await counter.get(order_id)).payment.snapshot.refunded_minor == 400


@pytest.mark.requirement("R-1.22", "S-18")
@pytest.mark.parametrize("won", [True, False])
async def test_disputed_money_is_not_refunded(counter: Counter, won: bool) -> None:
    order_id = new_id()
    intent = await counter.pay(order_id)
    dispute = await counter.sim.client.stripe.open_dispute(intent)
    await counter.tell()
    assert (await counter.get(order_id)).payment.snapshot.dispute == payments_pb2.DISPUTE_STATE_OPEN
    await counter.hear(refund(order_id, 1_000))
    await counter.settle_operations()
    assert (await counter.sim.client.stripe.ledger(order_id)).refunded.get("usd", 0) == 0
    await counter.sim.client.stripe.close_dispute(dispute.id, won=won)
    await counter.tell()
    facts = [entry.fact for entry in (await counter.get(order_id)).payment.ledger]
    assert facts == ["captured", "dispute_withdrawn", *(["dispute_reinstated"] if won else [])]
    names = await counter.names(order_id)
    assert names.count("DisputeOpened") == names.count("DisputeClosed") == 1


@pytest.mark.requirement("R-1.21")
async def test_money_is_authorized_and_captured_on_request(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id, manual_capture=True)
    await counter.tell()
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_AUTHORIZED
    request_id = new_id()
    await counter.hear(capture(order_id, 1_000, request_id))
    await counter.hear(capture(order_id, 1_000, request_id))
    await counter.settle_operations()
    await counter.tell()
    payment = (await counter.get(order_id)).payment
    assert payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert sorted(entry.fact for entry in payment.ledger) == ["authorized", "captured", "released"]
    assert (await counter.sim.client.stripe.ledger(order_id)).captured == {"usd": 1_000}


@pytest.mark.requirement("R-1.21", "S-17")
async def test_a_part_can_be_captured_and_an_authorisation_is_released(counter: Counter) -> None:
    part, released = new_id(), new_id()
    for order_id in (part, released):
        await counter.pay(order_id, manual_capture=True)
    await counter.tell()
    await counter.hear(capture(part, 600), cancellation(released))
    await counter.settle_operations()
    snapshot = (await counter.get(part)).payment.snapshot
    assert (snapshot.verdict, snapshot.captured_minor) == (payments_pb2.VERDICT_PAID, 600)
    assert (await counter.sim.client.stripe.ledger(released)).captured == {}
    assert (await counter.names(released))[-1] == "PaymentCancellationSettled"
    assert (await counter.get(released)).payment.snapshot.authorized_minor == 0


@pytest.mark.requirement("R-1.21", "S-17")
async def test_a_lapsed_authorisation_fails_its_capture(counter: Counter) -> None:
    order_id = new_id()
    intent = await counter.pay(order_id, manual_capture=True)
    await counter.tell()
    await counter.sim.client.stripe.lapse(intent)
    await counter.hear(capture(order_id, 1_000))
    await counter.settle_operations()
    names = await counter.names(order_id)
    assert names[-2:] == ["PaymentCaptureFailed", "PaymentAuthorizationExpired"]


@pytest.mark.requirement("R-1.17", "S-13")
async def test_the_ledger_balances_and_only_grows(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    await counter.tell()
    await counter.hear(refund(order_id, 300))
    await counter.settle_operations()
    assert await counter.database.fetch(UNBALANCED) == []
    for change in (
        "UPDATE payment_transactions SET amount_minor = 1",
        "DELETE FROM payment_transactions",
        "INSERT INTO payment_transactions (order_id, provider, object_id, fact, debit, credit, amount_minor, currency,"
        " occurred_at) SELECT order_id, provider, object_id, fact, debit, credit, 1, currency, occurred_at"
        " FROM payment_transactions",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await counter.database.fetch(change)
