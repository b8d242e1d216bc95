"""Answers stay below what a message can hold, however large the orders are."""

import asyncio

import pytest
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.ids import new_id
from services.inventory import domain as inventory_domain
from services.inventory import usecases as inventory_usecases
from tests.component.orders.shop import TIMEOUT_S, Shop, wanted

LARGE = {f"key {number}": "\N{PARTY POPPER}" * 500 for number in range(50)}  # 100 kB


@pytest.mark.requirement("R-2.8", "R-2.11")
async def test_a_page_is_cut_where_a_message_would_be_too_large(shop: Shop) -> None:
    await shop.stocked("MUG", 100)
    requests = [wanted(MUG=1) for _ in range(60)]
    for request in requests:
        request.metadata.update(LARGE)
    made = await asyncio.gather(*(shop.create(request) for request in requests))

    listed: list[str] = []
    page = service_pb2.ListOrdersRequest(page_size=200)
    while not listed or page.page_token:
        response = await shop.stub.ListOrders(page, timeout=TIMEOUT_S)
        listed.extend(order.order_id for order in response.orders)
        page.page_token = response.next_page_token
    assert len(listed) == len(requests) and set(listed) == {each.order.order_id for each in made}


@pytest.mark.requirement("R-2.13", "R-2.14")
async def test_a_batch_says_which_answers_do_not_fit(shop: Shop) -> None:
    """Names that an answer tells for each line: neither inventory's answer nor ours may grow beyond a message."""
    item = inventory_domain.Item("MUG", "\N{PARTY POPPER}" * 300, {"GBP": 10})
    await shop.stocked("MUG", 5_000)
    await shop.stock.run(lambda tx: inventory_usecases.upsert_items(tx, [item], "", shop.clock.now()))
    requests = [wanted(new_id()) for _ in range(40)]
    for request in requests:
        for _ in range(100):
            request.lines.add(sku="MUG", quantity=1)
    batch = service_pb2.BatchCreateOrdersRequest(requests=requests)
    results = (await shop.stub.BatchCreateOrders(batch, timeout=TIMEOUT_S)).results

    said = [each.refusal.reason for each in results]
    fit = said.count("")
    assert 0 < fit < 40 and said == [""] * fit + ["ANSWER_TOO_LARGE"] * (40 - fit)
    assert await shop.count("orders") == 40
    again = await shop.create(requests[-1])
    assert len(again.order.lines) == 100 and await shop.count("orders") == 40
