"""Orders are found by id, number and payment, and listed by pages."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.errors import InvalidField, NotFound
from services.chassis.ids import new_id
from tests.component.orders.shop import TIMEOUT_S, Shop, paid, refusal, wanted


@pytest.mark.requirement("R-2.8")
async def test_an_order_is_found_by_its_number_as_people_write_it(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=1)
    for number in (order.number, order.number.lower(), order.number.replace("-", "")):
        found = await shop.stub.GetOrder(service_pb2.GetOrderRequest(number=number), timeout=TIMEOUT_S)
        assert found.order.order_id == order.order_id
    upper = await shop.stub.GetOrder(service_pb2.GetOrderRequest(order_id=order.order_id.upper()), timeout=TIMEOUT_S)
    assert upper.order.order_id == order.order_id


@pytest.mark.requirement("R-2.8")
@pytest.mark.parametrize(
    "request_",
    [
        service_pb2.GetOrderRequest(order_id=new_id()),
        service_pb2.GetOrderRequest(number="0000000000"),
        service_pb2.GetOrderRequest(provider_object_id="pi_nobody"),
    ],
)
async def test_what_is_not_there_is_not_found(shop: Shop, request_: service_pb2.GetOrderRequest) -> None:
    assert isinstance(await refusal(shop.stub.GetOrder(request_, timeout=TIMEOUT_S)), NotFound)


async def test_what_cannot_be_a_number_is_refused(shop: Shop) -> None:
    call = shop.stub.GetOrder(service_pb2.GetOrderRequest(number="7K3M-92QX?F"), timeout=TIMEOUT_S)
    assert isinstance(await refusal(call), InvalidField)


async def ids(shop: Shop, **filters: object) -> list[str]:
    return [order.order_id async for order in pages(shop, **filters)]


async def pages(shop: Shop, **filters: object) -> AsyncIterator[orders_pb2.Order]:
    token = ""
    while True:
        request = service_pb2.ListOrdersRequest(page_size=2, page_token=token, **filters)  # type: ignore[arg-type]
        response = await shop.stub.ListOrders(request, timeout=TIMEOUT_S)
        assert len(response.orders) <= 2
        for order in response.orders:
            yield order
        token = response.next_page_token
        if not token:
            return


async def test_a_list_of_no_state_is_refused(shop: Shop) -> None:
    request = service_pb2.ListOrdersRequest(states=[orders_pb2.ORDER_STATE_UNSPECIFIED])
    assert isinstance(await refusal(shop.stub.ListOrders(request, timeout=TIMEOUT_S)), InvalidField)


@pytest.mark.requirement("R-2.8", "R-2.11")
async def test_lists_are_paged_newest_first_and_filtered(shop: Shop) -> None:
    await shop.stocked("MUG", 20)
    made: list[orders_pb2.Order] = []
    for number in range(7):
        request = wanted(MUG=1)
        request.customer_id = "ada" if number % 2 else ""
        made.append((await shop.create(request)).order)
        if number % 3:
            shop.clock.advance(timedelta(minutes=1))  # several orders share a moment
    await shop.hear(*(paid(order) for order in made[:3]))
    newest = [
        order.order_id for order in sorted(made, key=lambda o: (o.created_at.ToNanoseconds(), o.order_id), reverse=True)
    ]
    confirmed = {order.order_id for order in made[:3]}

    assert await ids(shop) == newest
    assert set(await ids(shop, customer_id="ada")) == {made[1].order_id, made[3].order_id, made[5].order_id}
    assert set(await ids(shop, states=[orders_pb2.ORDER_STATE_CONFIRMED])) == confirmed
    assert await ids(shop, states=[orders_pb2.ORDER_STATE_SHIPPED]) == []
    since = made[3].created_at
    assert await ids(shop, created_from=since) == [i for i in newest if i in {o.order_id for o in made[3:]}]
    assert set(await ids(shop, created_until=since)) == {o.order_id for o in made[:3]}
    listed = [order async for order in pages(shop)]
    assert all(order.lines and not order.history for order in listed)
    assert {tuple(order.provider_object_ids) for order in listed if order.order_id in confirmed} == {
        (f"pi_{order_id}",) for order_id in confirmed
    }


@pytest.mark.requirement("R-2.8")
async def test_a_page_token_belongs_to_its_list(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    for _ in range(3):
        await shop.order(MUG=1)
    token = (await shop.stub.ListOrders(service_pb2.ListOrdersRequest(page_size=1), timeout=TIMEOUT_S)).next_page_token
    for request in (
        service_pb2.ListOrdersRequest(page_token=token, customer_id="ada"),
        service_pb2.ListOrdersRequest(page_token="nonsense"),
        service_pb2.ListOrdersRequest(page_token=token[:-4]),
    ):
        error = await refusal(shop.stub.ListOrders(request, timeout=TIMEOUT_S))
        assert isinstance(error, InvalidField) and error.metadata["field"] == "page_token"
