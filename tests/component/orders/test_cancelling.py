"""Cancelling by people: asked once, proposed once goods were submitted, decided by an operator (S-8)."""

import asyncio
import hashlib
from datetime import timedelta

import pytest
from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.payments.v1 import payments_events_pb2

from services.chassis.errors import Code, NotFound
from services.chassis.ids import new_id
from tests.component.orders.shop import TIMEOUT_S, Shop, context, paid, refusal, snapshot, units


def settled(order: orders_pb2.Order, number: int = 1) -> payments_events_pb2.PaymentCancellationSettled:
    return payments_events_pb2.PaymentCancellationSettled(
        context=context(order.order_id, 9),
        snapshot=snapshot(order, "CANCELED"),
        cancellation_id=f"{order.order_id}:cancel:{number}",
        outcome=payments_events_pb2.CANCELLATION_OUTCOME_NOTHING_TAKEN,
    )


async def submitted(shop: Shop) -> orders_pb2.Order:
    """A paid order whose goods are at the provider."""
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    await shop.hear(paid(order))
    await shop.carry()
    told = fulfillment_events_pb2.FulfillmentSubmitted(
        context=context(order.order_id), request_id=f"{order.order_id}:fulfil:1", round=1, provider="printful"
    )
    assert await shop.hear(told) == ["APPLIED"]
    return order


async def decide(shop: Shop, order: orders_pb2.Order, approve: bool) -> orders_pb2.Order:
    request = service_pb2.DecideCancellationRequest(
        request_id=new_id(), order_id=order.order_id, approve=approve, note="by telephone"
    )
    return (await shop.stub.DecideCancellation(request, timeout=TIMEOUT_S)).order


@pytest.mark.requirement("R-2.10", "S-8", "S-11", "R-2.4")
async def test_an_unpaid_order_is_cancelled_when_payments_has_answered(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    asked = await shop.cancel(order.order_id, note="changed my mind")
    assert asked.state == orders_pb2.ORDER_STATE_PENDING
    assert asked.cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED

    assert await shop.hear(settled(order)) == ["APPLIED"]
    await shop.carry()

    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_CANCELLED
    assert (found.history[-1].actor, found.history[-1].reason) == ("customer", "cancelled: customer: changed my mind")
    assert await shop.said(order.order_id) == [
        "OrderCreated",
        "PaymentCancellationRequested",
        "StockReleaseRequested",
        "OrderCancelled",
    ]
    assert (await shop.available("MUG"), await shop.open_holds()) == (5, 0)


@pytest.mark.requirement("R-2.13", "S-29", "R-2.5")
async def test_ten_wishes_at_once_ask_once(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    same = [shop.cancel(order.order_id, request_id="same") for _ in range(5)]
    await asyncio.gather(*same, *(shop.cancel(order.order_id) for _ in range(5)))
    assert (await shop.said(order.order_id)).count("PaymentCancellationRequested") == 1


@pytest.mark.requirement("R-2.13", "S-5", "S-29")
async def test_a_repeated_wish_reads_the_order_as_it_is_and_another_body_is_refused(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    await shop.cancel(order.order_id, request_id="c")
    await shop.hear(settled(order))
    again = await shop.cancel(order.order_id, request_id="c")
    assert again.state == orders_pb2.ORDER_STATE_CANCELLED
    error = await refusal(shop.cancel(order.order_id, "ADMIN", request_id="c"))
    assert error.reason == "REQUEST_ID_REUSED"
    stored = await shop.database.fetchval("SELECT answer FROM idempotency_keys WHERE method = 'CancelOrderRequest'")
    assert b"ada@example.org" not in stored


@pytest.mark.requirement("R-2.3")
async def test_what_is_over_cannot_be_cancelled(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    await shop.cancel(order.order_id)
    await shop.hear(settled(order))
    error = await refusal(shop.cancel(order.order_id, "ADMIN", request_id="again"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NOT_CANCELLABLE")
    assert isinstance(await refusal(shop.cancel(new_id())), NotFound)
    assert isinstance(await refusal(decide(shop, orders_pb2.Order(order_id=new_id()), True)), NotFound)
    assert await shop.database.fetchval("SELECT count(*) FROM idempotency_keys WHERE request_id = 'again'") == 0


@pytest.mark.requirement("S-8", "R-6.1")
async def test_a_customer_proposes_once_goods_were_submitted_and_an_operator_approves(shop: Shop) -> None:
    order = await submitted(shop)
    proposed = await shop.cancel(order.order_id)
    assert proposed.cancellation == orders_pb2.CANCELLATION_STATE_PROPOSED
    assert "PaymentCancellationRequested" not in await shop.said(order.order_id)

    approved = await decide(shop, order, approve=True)

    assert approved.cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED
    assert (await shop.said(order.order_id))[-2:] == [
        "PaymentCancellationRequested",
        "FulfillmentCancellationRequested",
    ]
    assert (await refusal(decide(shop, order, approve=True))).reason == "NOT_PROPOSED"


@pytest.mark.requirement("S-8")
async def test_a_declined_wish_lets_the_order_go_on(shop: Shop) -> None:
    order = await submitted(shop)
    await shop.cancel(order.order_id)
    declined = await decide(shop, order, approve=False)
    assert declined.cancellation == orders_pb2.CANCELLATION_STATE_NONE
    assert declined.state == orders_pb2.ORDER_STATE_PROCESSING
    assert (await shop.said(order.order_id))[-1] == "OrderCancellationRefused"


@pytest.mark.requirement("S-8", "R-2.4")
async def test_the_history_tells_why_this_cancellation_was_wanted(shop: Shop) -> None:
    """Not why an earlier one was, which an operator declined."""
    order = await submitted(shop)
    await shop.cancel(order.order_id, note="changed my mind")
    await decide(shop, order, approve=False)
    await shop.cancel(order.order_id, "ADMIN")
    stopped = fulfillment_events_pb2.FulfillmentCancelled(
        context=context(order.order_id), cancellation_id=f"{order.order_id}:cancel:2", round=1, cancelled=units(order)
    )
    assert await shop.hear(settled(order, 2), stopped) == ["APPLIED", "APPLIED"]
    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_CANCELLED
    assert found.history[-1].reason == "cancelled: admin"


@pytest.mark.requirement("R-4.7", "S-26")
async def test_the_words_of_a_provider_name_no_incident(shop: Shop) -> None:
    """They may be as long as they like, and may name people; fulfillment keeps them."""
    order = await submitted(shop)
    words = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(150))  # packs badly
    failed = fulfillment_events_pb2.FulfillmentFailed(
        context=context(order.order_id, 2), request_id=f"{order.order_id}:fulfil:1", round=1, reason=words
    )
    assert await shop.hear(failed) == ["APPLIED"]
    rows = await shop.database.fetch("SELECT kind, subject FROM incidents")
    assert [(row["kind"], row["subject"]) for row in rows] == [("fulfillment_failed", order.order_id)]


@pytest.mark.requirement("S-8", "S-29")
async def test_an_undecided_wish_is_an_incident_after_a_day(shop: Shop) -> None:
    order = await submitted(shop)
    await shop.cancel(order.order_id)
    shop.clock.advance(timedelta(hours=23))
    assert await shop.jobs.keep_deadlines() == 0
    shop.clock.advance(timedelta(hours=1))
    assert await shop.jobs.keep_deadlines() == 1
    assert await shop.incidents() == ["cancellation_undecided"]
    assert await shop.jobs.keep_deadlines() == 0
    assert (await decide(shop, order, approve=False)).state == orders_pb2.ORDER_STATE_PROCESSING
