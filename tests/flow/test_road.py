"""The road from cart to delivered."""

import pytest

from tests.flow.laws import breaches
from tests.flow.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.requirement("R-2.3", "S-1", "S-2")
async def test_a_cart_becomes_a_delivered_parcel(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    created = await shop.order(MUG=2)
    order_id = created.order.order_id
    seen = [await shop.state(order_id)]
    await shop.pay(created)
    for happens in (shop.settle, lambda: shop.ship(order_id), shop.settle, lambda: shop.deliver(order_id), shop.settle):
        await happens()
        seen.append(await shop.state(order_id))

    assert seen == ["PENDING", "PROCESSING", "PROCESSING", "SHIPPED", "SHIPPED", "DELIVERED"]
    assert await breaches(shop) == []
    assert await shop.available("MUG") == 3
