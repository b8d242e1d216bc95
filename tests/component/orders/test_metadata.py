"""Metadata is merged in the database."""

import asyncio

import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.errors import NotFound
from services.chassis.ids import new_id
from tests.component.orders.shop import TIMEOUT_S, Shop, refusal


async def update(shop: Shop, order_id: str, request_id: str = "", **metadata: str) -> orders_pb2.Order:
    request = service_pb2.UpdateOrderMetadataRequest(
        request_id=request_id or new_id(), order_id=order_id, metadata=metadata
    )
    return (await shop.stub.UpdateOrderMetadata(request, timeout=TIMEOUT_S)).order


@pytest.mark.requirement("R-2.7")
async def test_merges_at_one_time_lose_nothing(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    await asyncio.gather(*(update(shop, order.order_id, **{f"key{each}": str(each)}) for each in range(12)))
    found = await update(shop, order.order_id, key1="new")
    assert dict(found.metadata) == {**{f"key{each}": str(each) for each in range(12)}, "key1": "new"}
    assert found.version == order.version + 13
    assert found.state == order.state


@pytest.mark.requirement("R-2.7", "R-2.13")
async def test_a_repeated_merge_counts_once_and_too_many_keys_are_refused(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    first = await update(shop, order.order_id, "m", a="1")
    assert await update(shop, order.order_id, "m", a="1") == first
    error = await refusal(update(shop, order.order_id, **{f"key{each}": "x" for each in range(50)}))
    assert error.reason == "TOO_MANY_METADATA_KEYS"
    assert dict((await shop.get(order.order_id)).metadata) == {"a": "1"}
    assert isinstance(await refusal(update(shop, new_id(), a="1")), NotFound)
