"""Proof 4: CreateOrder dies between any two phases, and is then retried, completed, or left alone until time is up.

Why: a caller whose call was cut off knows nothing; whatever he does next, there is one order or none, and nothing of
it is left behind.
"""

from collections.abc import AsyncIterator
from itertools import count

import grpc.aio
import pytest
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.ids import new_id
from tests.flow.laws import breaches
from tests.flow.nodes import Node, Place
from tests.flow.shop import THOROUGH, TIMEOUT_S, TRY_AGAIN, Shop, wanted

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = (Place.BEFORE_COMMIT, Place.AFTER_COMMIT)
ALL = ("orders", "inventory", "payments")
NAMES = ALL if THOROUGH else ("orders",)
UNITS = 5


async def cut_off(shop: Shop, sku: str, names: tuple[str, ...]) -> AsyncIterator[tuple[str, str]]:
    """(request id, where) of a CreateOrder that dies in one of the services, at every place where it commits."""
    for name in names:
        for place in PLACES:
            for number in count(1):
                request = wanted(new_id(), **{sku: 1})
                if not await _dies(shop, shop.nodes[name], place, number, request):
                    assert number > 1
                    break
                yield request.request_id, f"{name} {place} {number}"


async def _dies(shop: Shop, node: Node, place: Place, number: int, request: service_pb2.CreateOrderRequest) -> bool:
    deaths = node.deaths
    node.mortality.die_at(place, number)
    try:
        await shop.during(shop.orders.CreateOrder(request, timeout=TIMEOUT_S, wait_for_ready=True))
    except grpc.aio.AioRpcError as error:
        if error.code() not in TRY_AGAIN:
            raise
    if node.mortality.is_armed:
        node.mortality.disarm()
        await shop.settle()
        await _expire(shop)
        return False
    assert node.deaths == deaths + 1
    return True


async def _orders(shop: Shop, request_id: str) -> list[str]:
    rows = await shop.rows("orders", "SELECT order_id::text FROM orders WHERE request_id = $1", request_id)
    return [row["order_id"] for row in rows]


async def _expire(shop: Shop) -> None:
    await shop.pass_time(minutes=31)
    await shop.settle()


async def nothing_is_left(shop: Shop, sku: str, request_id: str, where: str) -> None:
    """At rest; and once the time to pay is over, too."""
    assert await breaches(shop) == [], where
    await _expire(shop)
    assert await breaches(shop) == [], where
    assert await shop.available(sku) == UNITS, where
    for order_id in await _orders(shop, request_id):
        assert await shop.state(order_id) == "CANCELLED", where
        assert (await shop.sim.client.stripe.ledger(order_id)).payable == [], where


@pytest.mark.requirement("S-5", "S-6", "R-2.13", "R-1.6")
async def test_the_caller_tries_again(shop: Shop) -> None:
    sku = await shop.stocked("RETRIED", UNITS)
    async for request_id, where in cut_off(shop, sku, ALL if THOROUGH else ("orders", "payments")):
        created = await shop.create(wanted(request_id, **{sku: 1}))
        assert await _orders(shop, request_id) == [created.order.order_id], where
        ledger = await shop.sim.client.stripe.ledger(created.order.order_id)
        assert ledger.payable == [created.payment.provider_object_id], where
        await shop.settle()
        await nothing_is_left(shop, sku, request_id, where)


@pytest.mark.requirement("S-5", "S-6", "R-1.6")
async def test_the_completer_goes_on(shop: Shop) -> None:
    sku = await shop.stocked("COMPLETED", UNITS)
    placed = 0
    async for request_id, where in cut_off(shop, sku, NAMES):
        await shop.pass_time(minutes=1)
        await shop.settle()
        orders = await _orders(shop, request_id)
        assert len(orders) <= 1, where
        placed += len(orders)
        await nothing_is_left(shop, sku, request_id, where)
    assert placed >= 4  # all but those that died before the claim was committed


@pytest.mark.requirement("S-6", "S-7", "R-1.6")
async def test_nobody_goes_on_until_the_hold_has_lapsed(shop: Shop) -> None:
    sku = await shop.stocked("ALONE", UNITS)
    async for request_id, where in cut_off(shop, sku, NAMES):
        await shop.pass_time(minutes=11)
        for job in shop.nodes["inventory"].jobs():
            await job.run_once()
        await shop.settle()
        assert len(await _orders(shop, request_id)) <= 1, where
        await nothing_is_left(shop, sku, request_id, where)
