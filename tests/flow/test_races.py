"""Proof 5: cancelling and expiry raced against payment at every point, until each side has won."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count

import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.ids import new_id
from simulators.client.http import SimulatorError
from tests.flow.laws import breaches
from tests.flow.shop import THOROUGH, TIMEOUT_S, Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY = 1 if THOROUGH else 3  # steps between two runs
LATE_MONEY = "money_after_cancellation"
Created = service_pb2.CreateOrderResponse
Deed = Callable[[Shop, Created], Awaitable[str]]


@dataclass(frozen=True)
class Finish:
    """How one run of a race ended: what the second deed was told, and the order at rest."""

    steps: int
    said: str
    order: orders_pb2.Order

    @property
    def state(self) -> str:
        return orders_pb2.OrderState.Name(self.order.state).removeprefix("ORDER_STATE_")


async def pay(shop: Shop, created: Created) -> str:
    """What the provider says: `succeeded`, or `refused` for an intent that is cancelled."""
    try:
        return await shop.pay(created)
    except SimulatorError:
        return "refused"


async def cancel(shop: Shop, created: Created) -> str:
    """What becomes of the wish: it is carried out, or proposed to an operator."""
    await shop.cancel(created.order.order_id)
    order = await shop.get(created.order.order_id)
    return orders_pb2.CancellationState.Name(order.cancellation).removeprefix("CANCELLATION_STATE_")


async def expire(shop: Shop, created: Created) -> str:
    """The time to pay is over."""
    await shop.pass_time(minutes=31)
    return ""


async def approve(shop: Shop, order_id: str) -> None:
    request = service_pb2.DecideCancellationRequest(request_id=new_id(), order_id=order_id, approve=True)
    await shop.orders.DecideCancellation(request, timeout=TIMEOUT_S)
    await shop.settle()


async def race(shop: Shop, sku: str, first: Deed, second: Deed) -> AsyncIterator[Finish]:
    """For n = 0, 1, 2 ..: an order for which `second` comes n steps after `first`, until `first` has run its course."""
    for wanted in count(step=EVERY):
        created = await shop.order(**{sku: 1})
        await shop.settle()
        await first(shop, created)
        taken = 0
        async with aclosing(shop.moves()) as moves:
            async for _ in moves:
                taken += 1
                if taken >= wanted:
                    break
        said = await second(shop, created)
        await shop.settle()
        yield Finish(taken, said, await shop.get(created.order.order_id))
        if taken < wanted:
            return


@pytest.mark.requirement("S-8", "S-9", "S-10", "S-11", "S-18", "R-2.10")
async def test_a_payment_and_then_the_customer_cancels(shop: Shop) -> None:
    await shop.stocked("A", 100)
    said = set()
    async for finish in race(shop, "A", pay, cancel):
        said.add(finish.said)
        if finish.said == "PROPOSED":
            assert finish.state == "PROCESSING"
            await approve(shop, finish.order.order_id)
        assert await shop.state(finish.order.order_id) == "CANCELLED", finish
        ledger = await shop.sim.client.stripe.ledger(finish.order.order_id)
        assert (ledger.captured, ledger.refunded) == ({"gbp": 1_000}, {"gbp": 1_000}), finish
        assert await breaches(shop, incidents=[LATE_MONEY]) == [], finish
    assert said == {"REQUESTED", "PROPOSED"}
    assert await shop.available("A") == 100


@pytest.mark.requirement("S-9", "S-11", "S-30", "R-1.15", "R-2.10")
async def test_the_customer_cancels_and_then_pays(shop: Shop) -> None:
    await shop.stocked("B", 100)
    said = set()
    async for finish in race(shop, "B", cancel, pay):
        said.add(finish.said)
        assert finish.state == "CANCELLED", finish
        assert await breaches(shop, incidents=[LATE_MONEY]) == [], finish
    assert said == {"succeeded", "refused"}
    assert await shop.available("B") == 100


@pytest.mark.requirement("S-11", "R-2.12")
async def test_a_payment_and_then_its_time_is_over(shop: Shop) -> None:
    await shop.stocked("C", 100)
    orders = 0
    async for finish in race(shop, "C", pay, expire):
        orders += 1
        assert finish.state == "PROCESSING", finish
        assert await breaches(shop, incidents=[LATE_MONEY]) == [], finish
    assert await shop.available("C") == 100 - orders


@pytest.mark.requirement("S-9", "S-11", "S-30", "R-1.15", "R-2.12")
async def test_its_time_is_over_and_then_the_customer_pays(shop: Shop) -> None:
    await shop.stocked("D", 100)
    ends = set()
    paid = 0
    async for finish in race(shop, "D", expire, pay):
        ends.add((finish.said, finish.state))
        paid += finish.said == "succeeded"
        assert await breaches(shop, incidents=[LATE_MONEY]) == [], finish
    assert ends == {("succeeded", "PROCESSING"), ("refused", "CANCELLED")}
    assert await shop.available("D") == 100 - paid
