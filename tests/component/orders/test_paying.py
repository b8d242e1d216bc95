"""Phases 4 and 5: the payment is begun once, whoever repeats the call, and secrets are never stored."""

import asyncio

import grpc
import pytest
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.payments.v1 import payments_pb2, payments_service_pb2

from services.chassis.errors import DependencyUnavailable, Refused
from services.orders.partners import Payments
from services.orders.usecases.commands import PaymentWay
from services.orders.usecases.paying import _Answer, payment_order
from services.orders.usecases.placing import Placed
from tests.component.orders.shop import TIMEOUT_S, Shop, command, context, refusal, units, wanted
from tests.component.payments.counter import Counter

House = tuple[Shop, Counter]
BYTES = "SELECT string_agg(encode(coalesce(answer, body, ''::bytea), 'escape'), ' ') FROM idempotency_keys"


def payable(request_id: str = "r", flow: str = "INTENT", **lines: int) -> service_pb2.CreateOrderRequest:
    request = wanted(request_id, **lines)
    request.payment_flow = orders_pb2.PaymentFlow.Value(f"PAYMENT_FLOW_{flow}")
    return request


async def placed(shop: Shop, request: service_pb2.CreateOrderRequest) -> Placed:
    (result,) = await shop.placement.placing.flush([command(request)])
    assert isinstance(result, Placed)
    return result


async def by_object(shop: Shop, object_id: str) -> str:
    request = service_pb2.GetOrderRequest(provider_object_id=object_id)
    return (await shop.stub.GetOrder(request, timeout=TIMEOUT_S)).order.order_id


@pytest.mark.requirement("R-1.9", "R-2.8", "S-5", "R-2.13")
async def test_a_retry_gets_the_same_payment_and_its_secret_is_read_again(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    first = await shop.create(payable(MUG=1))
    again = await shop.create(payable(MUG=1))

    assert first.payment.client_secret and again.payment == first.payment
    assert again.order == first.order
    assert list(first.order.provider_object_ids) == [first.payment.provider_object_id]
    assert await by_object(shop, first.payment.provider_object_id) == first.order.order_id
    assert first.payment.client_secret not in await shop.database.fetchval(BYTES)
    assert "ada@example.org" not in await shop.database.fetchval(BYTES)
    shown = await shop.stub.GetOrder(service_pb2.GetOrderRequest(order_id=first.order.order_id), timeout=TIMEOUT_S)
    assert shown.payment == first.payment
    payment = (await counter.get(first.order.order_id)).payment
    assert len(payment.attempts) == 1 and payment.snapshot.due_minor == first.order.total.amount_minor


@pytest.mark.requirement("R-1.5", "S-5", "R-1.1")
async def test_ten_calls_at_once_begin_one_payment(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 50)
    results = await asyncio.gather(*(shop.create(payable(MUG=1)) for _ in range(10)), return_exceptions=True)
    created = [each for each in results if not isinstance(each, BaseException)]
    assert {each.payment.provider_object_id for each in created} == {created[0].payment.provider_object_id}
    assert len((await counter.get(created[0].order.order_id)).payment.attempts) == 1
    assert await shop.phases() == ["DONE"]


@pytest.mark.requirement("S-6", "R-2.13", "R-1.6")
async def test_the_completer_begins_the_payment_that_a_dead_try_did_not(house: House) -> None:
    shop, _ = house
    await shop.stocked("MUG", 5)
    result = await placed(shop, payable(MUG=1))
    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1

    response = await shop.create(payable(MUG=1))
    assert response.order.order_id == result.order_id
    assert response.payment.client_secret
    assert await shop.phases() == ["DONE"]


@pytest.mark.requirement("S-6", "S-5")
async def test_a_try_that_died_before_the_answer_is_completed_with_the_same_attempt(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    result = await placed(shop, payable(MUG=1))
    assert result.view is not None
    begun = await shop.placement.paying._payments.create(payment_order(result.view))
    await shop.carry(counter)  # PaymentCreated moves the deadline, and the repeated call must still say the same
    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1

    assert (await shop.create(payable(MUG=1))).payment.provider_object_id == begun.provider_object_id
    assert len((await counter.get(result.order_id)).payment.attempts) == 1


@pytest.mark.requirement("S-2", "S-6")
async def test_payments_away_is_unavailable_and_the_order_waits(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    error = await refusal(shop.create(payable(MUG=1)))
    assert isinstance(error, DependencyUnavailable)
    assert (await shop.phases(), await shop.count("orders")) == (["PLACED"], 1)
    assert await shop.jobs.complete() == 0
    order_id = str(await shop.database.fetchval("SELECT order_id FROM orders"))
    shown = await shop.stub.GetOrder(service_pb2.GetOrderRequest(order_id=order_id), timeout=TIMEOUT_S)
    assert not shown.HasField("payment")


@pytest.mark.requirement("S-9", "S-6")
async def test_an_order_that_was_cancelled_meanwhile_begins_no_payment(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    result = await placed(shop, payable(MUG=1))
    await shop.cancel(result.order_id)
    await shop.carry(counter)
    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1

    response = await shop.create(payable(MUG=1))
    assert response.order.state == orders_pb2.ORDER_STATE_CANCELLED and not response.HasField("payment")
    assert not (await counter.get(result.order_id)).payment.attempts
    assert await shop.open_holds() == 0


@pytest.mark.requirement("S-9")
async def test_a_payable_that_was_closed_first_is_no_error(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    result = await placed(shop, payable(MUG=1))
    await shop.cancel(result.order_id)
    await shop.bring_to_payments(counter)

    view, way = await shop.placement.paying.finish(result)

    assert way is None and view.root["cancellation"] == "REQUESTED"
    assert await shop.phases() == ["DONE"]


@pytest.mark.requirement("S-6")
async def test_what_payments_refuses_for_good_is_undone_and_the_refusal_kept(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    result = await placed(shop, payable(MUG=1))
    other = payments_service_pb2.CreatePaymentRequest(  # somebody else fixed another amount
        request_id="x",
        order_id=result.order_id,
        due=common_pb2.Money(amount_minor=2_000, currency="GBP"),
        flow=payments_pb2.FLOW_INTENT,
    )
    await counter.stub.CreatePayment(other, timeout=TIMEOUT_S)

    with pytest.raises(Refused) as refused:
        await shop.placement.paying.finish(result)
    await shop.carry(counter)

    assert refused.value.reason == "AMOUNT_DIFFERS"
    assert (await refusal(shop.create(payable(MUG=1)))).reason == "AMOUNT_DIFFERS"
    order = await shop.get(result.order_id)
    assert order.state == orders_pb2.ORDER_STATE_CANCELLED
    assert order.cancellation_reason == orders_pb2.CANCELLATION_REASON_PAYMENT_FAILED
    assert await shop.open_holds() == 0


@pytest.mark.requirement("S-6", "R-2.13", "F-12")
@pytest.mark.parametrize("completed", [False, True])
async def test_an_amount_that_no_provider_takes_undoes_the_order(house: House, completed: bool) -> None:
    """Three decimals by which nobody charges: payments says so only when it is asked (F-12)."""
    shop, counter = house
    await shop.stocked("MUG", 5, KWD=1_001)
    request = payable(MUG=1)
    request.currency = "KWD"
    if completed:
        await placed(shop, request)
        await shop.let_leases_end()
        assert await shop.jobs.complete() == 1
        assert await shop.jobs.complete() == 0
    first = await refusal(shop.create(request))
    await shop.carry(counter)

    assert (type(first), first.reason) == (Refused, "NOT_PAYABLE") and "amount_minor" not in first.message
    assert await shop.phases() == ["FAILED"]
    order = await shop.get(str(await shop.database.fetchval("SELECT order_id FROM orders")))
    assert order.state == orders_pb2.ORDER_STATE_CANCELLED
    assert order.cancellation_reason == orders_pb2.CANCELLATION_REASON_PAYMENT_FAILED
    assert await shop.open_holds() == 0
    again = await refusal(shop.create(request))
    assert (again.reason, again.message) == (first.reason, first.message)


@pytest.mark.requirement("R-1.8", "R-2.8", "R-1.10")
async def test_a_checkout_session_finds_its_order_also_after_a_new_one(house: House) -> None:
    shop, _ = house
    await shop.stocked("MUG", 5)
    first = await shop.create(payable(flow="CHECKOUT", MUG=1))
    assert first.payment.checkout_url and first.payment.provider_object_id.startswith("cs_")
    await shop.database.fetch(
        "INSERT INTO order_payments (provider_object_id, order_id, added_at) VALUES ('cs_later', $1, now())",
        first.order.order_id,
    )
    assert await by_object(shop, first.payment.provider_object_id) == first.order.order_id
    assert await by_object(shop, "cs_later") == first.order.order_id
    assert list((await shop.get(first.order.order_id)).provider_object_ids) == [
        "cs_later",
        first.payment.provider_object_id,
    ]


@pytest.mark.requirement("R-1.10")
async def test_an_object_that_another_order_has_is_an_incident(house: House) -> None:
    shop, _ = house
    await shop.stocked("MUG", 5)
    first = await shop.create(payable(MUG=1))
    result = await placed(shop, payable("other", MUG=1))
    assert result.claim is not None
    answer = _Answer(result.claim, result.order_id, first.payment.provider_object_id)
    assert await shop.placement.paying._store_answers([answer]) == [True]
    assert await by_object(shop, first.payment.provider_object_id) == first.order.order_id
    assert await shop.incidents() == ["payment_of_another_order"]


@pytest.mark.requirement("R-2.13", "R-2.14")
async def test_a_batch_begins_the_payments_of_all(house: House) -> None:
    shop, _ = house
    await shop.stocked("MUG", 5)
    requests = [payable(str(each), MUG=1) for each in range(4)] + [payable("bad", HAT=1)]
    request = service_pb2.BatchCreateOrdersRequest(requests=requests)
    results = (await shop.stub.BatchCreateOrders(request, timeout=TIMEOUT_S)).results
    assert [each.created.payment.client_secret != "" for each in results] == [True] * 4 + [False]
    assert results[4].refusal.code == grpc.StatusCode.FAILED_PRECONDITION.name
    assert await shop.phases() == ["DONE"] * 4 + ["FAILED"]


@pytest.mark.requirement("S-5", "R-2.14")
async def test_a_batch_that_is_repeated_reads_all_payments_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = house
    await shop.stocked("MUG", 5)
    request = service_pb2.BatchCreateOrdersRequest(requests=[payable(str(each), MUG=1) for each in range(4)])
    first = await shop.stub.BatchCreateOrders(request, timeout=TIMEOUT_S)
    met, read = asyncio.Barrier(4), Payments.read

    async def together(payments: Payments, order_id: str) -> PaymentWay | None:
        async with asyncio.timeout(5):
            await met.wait()
        return await read(payments, order_id)

    monkeypatch.setattr(Payments, "read", together)
    again = await shop.stub.BatchCreateOrders(request, timeout=TIMEOUT_S)
    assert [each.created for each in again.results] == [each.created for each in first.results]


@pytest.mark.requirement("S-8", "S-9", "S-11", "R-2.10", "R-1.16")
async def test_paid_then_cancelled_gives_back_money_and_stock(house: House) -> None:
    shop, counter = house
    await shop.stocked("MUG", 5)
    created = await shop.create(payable(MUG=2))
    await counter.sim.client.stripe.confirm(created.payment.client_secret, "pm_card_visa")
    await counter.tell()
    await shop.carry(counter)
    order_id = created.order.order_id
    assert (await shop.get(order_id)).state == orders_pb2.ORDER_STATE_PROCESSING

    await shop.cancel(order_id, "ADMIN", note="wrong address")
    await shop.carry(counter)
    order = await shop.get(order_id)
    assert order.cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED  # fulfillment has not answered
    assert "FulfillmentCancellationRequested" in await shop.said(order_id)

    answer = fulfillment_events_pb2.FulfillmentCancelled(
        context=context(order_id), cancellation_id=f"{order_id}:cancel:1", round=1, cancelled=units(order)
    )
    assert await shop.hear(answer) == ["APPLIED"]
    await shop.carry(counter)
    await counter.tell()
    await shop.carry(counter)

    order = await shop.get(order_id)
    assert order.state == orders_pb2.ORDER_STATE_CANCELLED
    assert order.history[-1].actor == "admin" and order.history[-1].reason == "cancelled: admin: wrong address"
    assert order.payment.refunded_minor == order.payment.captured_minor == order.total.amount_minor
    assert (await shop.available("MUG"), await shop.open_holds()) == (5, 0)
