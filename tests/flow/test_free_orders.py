"""An order for which nothing is due: no payment is begun, and it goes its whole road or ends all the same."""

import pytest

from tests.flow.laws import breaches
from tests.flow.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.requirement("R-2.3", "S-2")
async def test_a_free_order_is_confirmed_and_delivered(shop: Shop) -> None:
    await shop.stocked("SAMPLE", 3, price=0)
    order_id = (await shop.order(SAMPLE=1)).order.order_id
    await shop.settle()
    assert await shop.state(order_id) == "PROCESSING"
    await shop.ship(order_id)
    await shop.settle()
    await shop.deliver(order_id)
    await shop.settle()

    assert await shop.state(order_id) == "DELIVERED"
    assert await breaches(shop) == []
    assert await shop.available("SAMPLE") == 2


@pytest.mark.requirement("S-8", "S-9", "S-11")
async def test_a_free_order_is_cancelled_and_its_goods_are_free_again(shop: Shop) -> None:
    await shop.stocked("LEAFLET", 3, price=0)
    order_id = (await shop.order(LEAFLET=2)).order.order_id
    await shop.cancel(order_id)
    await shop.settle()

    assert await shop.state(order_id) == "CANCELLED"
    assert await breaches(shop) == []
    assert await shop.available("LEAFLET") == 3
