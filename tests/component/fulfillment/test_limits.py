"""The provider's limit of calls: what it refuses because of it says nothing about an order, and old parcels ask less.

Why: 120 calls a minute are for all orders (F-18); none may fail, and none may wait, because of the number of others.
"""

import pytest

from services.chassis.ids import new_id
from tests.component.fulfillment.warehouse import Warehouse


async def limit(warehouse: Warehouse, order_id: str, operation: str, times: int) -> None:
    """The next calls about the order are one too many."""
    name = warehouse.external_id(order_id)
    await warehouse.provider.faults.api(
        vendor="printful", operation=operation, kind="rate_limit", order_id=name, times=times
    )


@pytest.mark.requirement("R-4.7", "S-15")
async def test_calls_over_the_limit_cost_no_try_and_are_repeated_when_the_provider_said(warehouse: Warehouse) -> None:
    order_id = new_id()
    await limit(warehouse, order_id, "orders.create", 20)
    await warehouse.request(order_id)
    await warehouse.work()
    for _ in range(20):
        assert await warehouse.names(order_id) == []
        await warehouse.pass_time(seconds=1)  # what its Retry-After says
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]
    assert await warehouse.incidents() == []
    assert await warehouse.database.fetchval("SELECT max(number) FROM operations") == 2  # one create, one confirm


@pytest.mark.requirement("S-10")
async def test_a_confirm_over_the_limit_is_taken_back_by_a_cancellation(warehouse: Warehouse) -> None:
    order_id = new_id()
    await limit(warehouse, order_id, "orders.confirm", 1)
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]
    await warehouse.pass_time(minutes=5)
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_charged, ledger.status) == (0, "canceled")
