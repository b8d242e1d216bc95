"""Proofs 1 and 2: one payment makes one order and one entry; one unit makes one order."""

import asyncio
from collections import Counter

import grpc.aio
import pytest
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.payments.v1 import payments_service_pb2 as payments_service

from services.chassis.errors import Code, DomainError, from_rpc_error
from services.chassis.ids import new_id
from tests.flow.laws import breaches
from tests.flow.shop import TIMEOUT_S, Shop, wanted

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 10


async def outcome(shop: Shop, request: service_pb2.CreateOrderRequest) -> service_pb2.CreateOrderResponse | DomainError:
    """What CreateOrder says: an answer or a refusal."""
    try:
        return await shop.orders.CreateOrder(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)


@pytest.mark.requirement("R-1.1", "R-1.2", "R-2.13", "S-12", "S-13")
async def test_webhooks_confirmations_and_retries_of_one_payment_at_once(shop: Shop) -> None:
    await shop.stocked("MUG", 20)
    request = wanted(new_id(), MUG=1)
    begun = await asyncio.gather(*(outcome(shop, request) for _ in range(AT_ONCE)))
    created = next(each for each in begun if not isinstance(each, DomainError))
    assert {each.reason for each in begun if isinstance(each, DomainError)} <= {"REQUEST_IN_PROGRESS"}
    order_id, intent = created.order.order_id, created.payment.provider_object_id
    await shop.pay(created)
    events = await shop.stripe_events()
    await shop.sim.client.webhooks.discard()
    confirm = payments_service.ConfirmPaymentRequest(provider_object_id=intent)

    async def webhooks() -> list[int]:
        return [await shop.tell(event) for event in events]

    async def confirmation() -> bool:
        return (await shop.payments.ConfirmPayment(confirm, timeout=TIMEOUT_S)).success

    told, confirmed, retried, _ = await asyncio.gather(
        asyncio.gather(*(webhooks() for _ in range(AT_ONCE))),
        asyncio.gather(*(confirmation() for _ in range(AT_ONCE))),
        asyncio.gather(*(outcome(shop, request) for _ in range(AT_ONCE))),
        shop.settle(),
    )
    await shop.settle()

    assert {status for statuses in told for status in statuses} == {200} and set(confirmed) == {True}
    orders = {each.order.order_id for each in retried if not isinstance(each, DomainError)}
    assert orders == {order_id} and not any(isinstance(each, DomainError) for each in retried)
    assert [row["order_id"] for row in await shop.rows("orders", "SELECT order_id::text FROM orders")] == [order_id]
    entries = await shop.rows("payments", "SELECT fact, amount_minor FROM payment_transactions")
    assert [tuple(row) for row in entries] == [("captured", 1_000)]
    said = Counter(event.kind for event in await shop.events("payments"))
    assert said["PaymentSucceeded"] == 1
    assert (await shop.sim.client.stripe.ledger(order_id)).times_charged == 1
    assert await shop.state(order_id) == "PROCESSING" and await shop.available("MUG") == 19
    assert await breaches(shop) == []


@pytest.mark.requirement("R-2.14", "R-2.1", "R-3.3")
async def test_ten_buyers_of_the_last_unit(shop: Shop) -> None:
    await shop.stocked("LAST", 1)
    outcomes = await asyncio.gather(*(outcome(shop, wanted(LAST=1)) for _ in range(AT_ONCE)))
    refused = [each for each in outcomes if isinstance(each, DomainError)]
    (bought,) = [each for each in outcomes if not isinstance(each, DomainError)]
    await shop.pay(bought)
    await shop.settle()

    assert {(each.code, each.reason) for each in refused} == {(Code.FAILED_PRECONDITION, "CART_REJECTED")}
    for each in refused:
        (problems,) = each.details
        assert isinstance(problems, common_pb2.CartProblems)
        ((problem),) = problems.problems
        assert problem.kind == common_pb2.CartProblem.KIND_OUT_OF_STOCK
        assert (problem.sku, problem.available, problem.requested) == ("LAST", 0, 1)
    rows = await shop.rows("orders", "SELECT order_id::text FROM order_lines WHERE sku = 'LAST'")
    assert [row["order_id"] for row in rows] == [bought.order.order_id]
    (level,) = await shop.rows("inventory", "SELECT on_hand, reserved, shipped FROM stock WHERE sku = 'LAST'")
    assert tuple(level) == (1, 1, 0)
    kinds = await shop.rows("inventory", "SELECT kind FROM stock_ledger WHERE sku = 'LAST' ORDER BY position")
    assert [row["kind"] for row in kinds] == ["adjusted", "reserved", "committed"]
    assert await breaches(shop) == []
