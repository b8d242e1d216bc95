"""CreatePayment: one intent per order, whoever asks how often, and whatever dies in between."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import grpc
import pytest
from onefold.payments.v1 import payments_events_pb2, payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2

from services.chassis.ids import new_id
from services.chassis.operations import Declined, Operation
from services.payments.config import PaymentsSettings
from services.payments.messages import begin_of
from services.payments.providers.stripe.transport import Transport
from services.payments.usecases import attempts
from tests.component.payments.counter import Counter, cancellation, open_counter


@pytest.mark.requirement("R-1.5", "S-14")
async def test_ten_concurrent_calls_make_one_intent(counter: Counter) -> None:
    order_id = new_id()
    answers = await asyncio.gather(*(counter.create(order_id) for _ in range(10)))
    assert len({answer.attempt.provider_object_id for answer in answers}) == 1
    assert len({answer.client_secret for answer in answers}) == 1
    assert answers[0].client_secret
    assert len((await counter.sim.client.stripe.ledger(order_id)).intents) == 1


@pytest.mark.requirement("R-1.5")
async def test_two_processes_make_one_intent(counter: Counter, settings: PaymentsSettings) -> None:
    order_id = new_id()
    async with open_counter(settings, counter.sim, counter.clock) as other:
        answers = await asyncio.gather(*(c.create(order_id) for c in (counter, other) * 5))
    assert len({answer.attempt.provider_object_id for answer in answers}) == 1
    assert len({answer.client_secret for answer in answers}) == 1


@pytest.mark.requirement("R-1.5")
async def test_a_live_attempt_is_reused_and_a_paid_one_refuses(counter: Counter) -> None:
    order_id = new_id()
    first = await counter.create(order_id)
    await counter.sim.client.stripe.confirm(first.client_secret, "pm_card_chargeDeclined")
    await counter.tell()
    again = await counter.create(order_id)
    assert (again.attempt.attempt_id, again.client_secret) == (first.attempt.attempt_id, first.client_secret)
    assert again.attempt.failures == 1
    await counter.sim.client.stripe.confirm(first.client_secret, "pm_card_visa")
    await counter.tell()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await counter.create(order_id)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.requirement("R-1.5", "R-1.4")
async def test_a_new_attempt_begins_only_after_the_provider_ended_the_last(counter: Counter) -> None:
    order_id = new_id()
    first = await counter.create(order_id, flow=payments_pb2.FLOW_CHECKOUT)
    assert first.checkout_url and not first.client_secret
    await counter.sim.client.advance(24 * 3600)
    await counter.tell()
    second = await counter.create(order_id)
    assert (first.attempt.number, second.attempt.number) == (1, 2)
    keys = await counter.database.fetch("SELECT idempotency_key, id::text FROM operations WHERE kind = 'create'")
    assert len(keys) == 2
    assert all(row["idempotency_key"] == row["id"] for row in keys)


@pytest.mark.requirement("R-1.6", "R-1.4", "S-15")
@pytest.mark.parametrize("kind", ["timeout_after", "error_after"])
@pytest.mark.parametrize("ahead_s", [0, 50, -50], ids=["clocks agree", "Stripe's is ahead", "Stripe's is behind"])
async def test_an_intent_whose_answer_was_lost_is_adopted(
    counter: Counter, kind: Literal["timeout_after", "error_after"], ahead_s: int
) -> None:
    order_id = new_id()
    await counter.sim.client.advance(max(0, ahead_s))
    counter.clock.advance(timedelta(seconds=max(0, -ahead_s)))  # a provider's time never goes back
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.create", kind=kind, order_id=order_id, times=1
    )
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await counter.stub.CreatePayment(_request(order_id), timeout=2.0)
    assert lost.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    await counter.release_leases()
    await counter.settle_operations()
    again = await counter.create(order_id)
    ledger = await counter.sim.client.stripe.ledger(order_id)
    assert [intent.id for intent in ledger.intents] == [again.attempt.provider_object_id]
    assert again.client_secret


@pytest.mark.requirement("R-1.6", "S-9", "S-15")
async def test_however_much_was_made_later_a_create_in_doubt_is_found_at_once(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.create", kind="timeout_after", order_id=order_id, times=1
    )
    with pytest.raises(grpc.aio.AioRpcError):
        await counter.stub.CreatePayment(_request(order_id), timeout=2.0)
    await counter.sim.client.advance(2 * counter.settings.provider_timeout.total_seconds() + 5)
    await asyncio.gather(*(counter.foreign_intent(new_id()) for _ in range(101)))
    asked: list[str] = []
    request = Transport.request_async

    async def counted(self: Transport, method: str, url: str, *more: Any) -> tuple[bytes, int, Mapping[str, str]]:
        asked.append(f"{method} {urlsplit(url).path.rpartition('/')[2]}".lower())
        return await request(self, method, url, *more)

    monkeypatch.setattr(Transport, "request_async", counted)
    await counter.hear(cancellation(order_id))
    await counter.release_leases()
    await counter.settle_operations()
    assert asked == ["get payment_intents", "post cancel"]
    assert (await counter.names(order_id))[-1] == "PaymentCancellationSettled"


@pytest.mark.requirement("R-1.6", "S-15")
async def test_a_refused_call_that_was_never_executed_is_planned_anew(counter: Counter) -> None:
    order_id = new_id()
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.create", kind="error_before", order_id=order_id, times=1
    )
    with pytest.raises(grpc.aio.AioRpcError):
        await counter.stub.CreatePayment(_request(order_id), timeout=2.0)
    await counter.release_leases()
    await counter.settle_operations()
    again = await counter.create(order_id)
    intents = (await counter.sim.client.stripe.ledger(order_id)).intents
    assert [intent.id for intent in intents] == [again.attempt.provider_object_id]
    rows = await counter.database.fetch("SELECT number, state FROM operations ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, "FAILED"), (2, "SUCCEEDED")]


@pytest.mark.requirement("R-1.6", "S-9")
async def test_an_intent_of_a_payable_closed_meanwhile_is_cancelled(counter: Counter) -> None:
    order_id = new_id()
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.create", kind="timeout_after", order_id=order_id, times=1
    )
    with pytest.raises(grpc.aio.AioRpcError):
        await counter.stub.CreatePayment(_request(order_id), timeout=2.0)
    await counter.hear(cancellation(order_id))
    assert "PaymentCancellationSettled" not in await counter.names(order_id)
    await counter.release_leases()
    await counter.settle_operations()
    assert (await counter.sim.client.stripe.ledger(order_id)).payable == []
    assert (await counter.names(order_id))[-1] == "PaymentCancellationSettled"


@pytest.mark.requirement("R-1.20")
@pytest.mark.parametrize(("amount", "currency"), [(1_050, "GBP"), (1_050, "JPY"), (1_050, "KWD")])
async def test_minor_units_reach_the_provider_unchanged(counter: Counter, amount: int, currency: str) -> None:
    order_id = new_id()
    await counter.pay(order_id, amount=amount, currency=currency)
    await counter.tell()
    assert (await counter.sim.client.stripe.ledger(order_id)).captured == {currency.lower(): amount}
    assert (await counter.get(order_id)).payment.snapshot.captured_minor == amount


@pytest.mark.requirement("R-1.20")
async def test_amounts_that_the_provider_cannot_take_are_refused(counter: Counter) -> None:
    for amount, currency in ((1_055, "KWD"), (100_000_000, "USD"), (0, "USD")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await counter.create(new_id(), amount, currency)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.requirement("R-1.15")
async def test_another_amount_for_the_same_order_is_refused(counter: Counter) -> None:
    order_id = new_id()
    await counter.create(order_id, 1_000)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await counter.create(order_id, 999)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.requirement("R-1.2")
async def test_confirming_reads_the_provider_and_changes_nothing(counter: Counter) -> None:
    order_id = new_id()
    intent = await counter.pay(order_id)
    before = await counter.database.fetch("SELECT * FROM payables")
    request = service_pb2.ConfirmPaymentRequest(provider_object_id=intent)
    answer = await counter.stub.ConfirmPayment(request, timeout=5.0)
    assert (answer.success, answer.payment_state, answer.order_id) == (True, "succeeded", order_id)
    assert await counter.database.fetch("SELECT * FROM payables") == before
    assert not (await counter.get(order_id)).payment.ledger
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await counter.stub.ConfirmPayment(
            service_pb2.ConfirmPaymentRequest(provider_object_id="pi_unknown"), timeout=5.0
        )
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def _request(order_id: str) -> service_pb2.CreatePaymentRequest:
    request = service_pb2.CreatePaymentRequest(request_id="lost", order_id=order_id, flow=payments_pb2.FLOW_INTENT)
    request.due.amount_minor, request.due.currency = 1_000, "USD"
    return request


@pytest.mark.requirement("R-1.4", "R-1.6", "S-15")
async def test_what_was_planned_when_the_process_died_is_finished_by_the_next(counter: Counter) -> None:
    order_id = new_id()
    request = _request(order_id)
    await attempts.begin(counter.database, counter.context, [begin_of(request, counter.context.provider)])
    assert (await counter.sim.client.stripe.ledger(order_id)).intents == []
    await counter.settle_operations()
    (intent,) = (await counter.sim.client.stripe.ledger(order_id)).intents
    again = await counter.stub.CreatePayment(request, timeout=5.0)
    assert (again.attempt.provider_object_id, again.client_secret) == (intent.id, intent.client_secret)
    assert await counter.names(order_id) == ["PaymentCreated"]


@pytest.mark.requirement("R-1.6", "S-14")
async def test_a_second_intent_of_one_attempt_is_kept_and_ended(counter: Counter) -> None:
    order_id = new_id()
    request = _request(order_id)
    (begun,) = await attempts.begin(counter.database, counter.context, [begin_of(request, counter.context.provider)])
    assert isinstance(begun, attempts.Begun)
    await counter.foreign_intent(order_id, attempt_id=begun.attempt.id)
    await counter.tell()  # the attempt's object, as it seems; now the answer shows another
    await counter.settle_operations()
    assert await counter.open_incidents() == []
    assert len((await counter.sim.client.stripe.ledger(order_id)).payable) == 1
    assert [a.number for a in (await counter.get(order_id)).payment.attempts] == [2, 1]


@pytest.mark.requirement("F-10", "F-11")
async def test_a_caller_who_waits_does_not_hurry_the_provider(counter: Counter) -> None:
    order_id = new_id()
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.create", kind="rate_limit", order_id=order_id, times=100
    )
    for _ in range(5):
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await counter.stub.CreatePayment(_request(order_id), timeout=1.4)
        assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await counter.database.fetchval("SELECT tries FROM operations") == 1


@pytest.mark.requirement("R-1.5", "R-1.10")
async def test_an_attempt_that_is_over_at_the_provider_is_not_answered_as_payable(counter: Counter) -> None:
    order_id = new_id()
    first = await counter.create(order_id, flow=payments_pb2.FLOW_CHECKOUT)
    await counter.sim.client.advance(24 * 3600)
    counter.clock.advance(timedelta(minutes=2))
    with pytest.raises(grpc.aio.AioRpcError) as over:  # its webhook is lost
        await counter.create(order_id)
    assert over.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await counter.jobs.ask_provider() == 1
    second = await counter.create(order_id)
    assert second.client_secret and second.attempt.number == first.attempt.number + 1


@pytest.mark.requirement("S-5")
async def test_a_refusal_is_published_by_its_code(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = new_id()

    async def refuse(operation: Operation) -> dict[str, Any]:
        raise Declined("email_invalid", "Invalid email address: buyer@example.com")

    monkeypatch.setattr(counter.context.provider, "send", refuse)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await counter.create(order_id)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (failed,) = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.PaymentFailed)]
    assert failed.code == "email_invalid"
    assert "buyer@" not in f"{failed}{await counter.get(order_id)}{refused.value.details()}"
