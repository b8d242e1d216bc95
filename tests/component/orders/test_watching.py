"""Watching an order: now, after every change, until it ends (R-2.15)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.errors import NotFound
from services.chassis.ids import new_id
from services.chassis.testing import wait_until
from tests.component.orders.shop import TIMEOUT_S, Shop, paid, refusal
from tests.component.orders.test_cancelling import settled


@asynccontextmanager
async def looking(shop: Shop) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(shop.watching.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def watch(
    shop: Shop, order_id: str, after: int = 0
) -> grpc.aio.UnaryStreamCall[service_pb2.WatchOrderRequest, service_pb2.WatchOrderResponse]:
    return shop.stub.WatchOrder(
        service_pb2.WatchOrderRequest(order_id=order_id, after_version=after), timeout=TIMEOUT_S
    )


@pytest.mark.requirement("R-2.15")
async def test_a_watcher_sees_the_order_now_and_after_every_change_until_it_ends(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    async with looking(shop):
        stream = watch(shop, order.order_id)
        messages = aiter(stream)
        first = await anext(messages)
        assert first.order.version == order.version
        await shop.cancel(order.order_id)
        second = await anext(messages)
        assert second.order.cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED
        await shop.hear(settled(order))
        third = await anext(messages)
        assert third.order.state == orders_pb2.ORDER_STATE_CANCELLED
        assert first.order.version < second.order.version < third.order.version
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        late = [each async for each in watch(shop, order.order_id, after=third.order.version)]
        assert late == []


@pytest.mark.requirement("R-2.15")
async def test_a_watcher_is_not_told_what_it_knows(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    async with looking(shop):
        messages = aiter(watch(shop, order.order_id, after=order.version))
        await wait_until(lambda: shop.watching._count == 1)
        await shop.hear(paid(order))
        assert (await anext(messages)).order.state == orders_pb2.ORDER_STATE_CONFIRMED


@pytest.mark.requirement("R-2.15")
async def test_watchers_are_bounded_and_leave_nothing_behind(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    shop.watching._most = 1
    async with looking(shop):
        stream = watch(shop, order.order_id)
        await anext(aiter(stream))
        error = await refusal(anext(aiter(watch(shop, order.order_id))))
        assert error.reason == "TOO_MANY_WATCHERS"
        stream.cancel()
        await wait_until(lambda: shop.watching._count == 0 and not shop.watching._waiting)


async def test_an_unknown_order_cannot_be_watched(shop: Shop) -> None:
    assert isinstance(await refusal(anext(aiter(watch(shop, new_id())))), NotFound)
