"""The calls through a real server: what a client sees."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2
from onefold.inventory.v1 import inventory_service_pb2 as service_pb2
from onefold.inventory.v1 import inventory_service_pb2_grpc as service_grpc

from services.chassis.errors import InvalidField, from_rpc_error
from services.chassis.ids import new_id
from services.chassis.testing import serving
from services.inventory.config import InventorySettings
from services.inventory.rpc import InventoryServicer
from tests.component.inventory.shop import Shop

WITHIN_S = 5.0
Kind = common_pb2.CartProblem


class Client:
    """Calls by name, each with a deadline."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = service_grpc.InventoryServiceStub(channel)

    async def call(self, request: Any) -> Any:
        method = type(request).__name__.removesuffix("Request")
        return await getattr(self._stub, method)(request, timeout=WITHIN_S)

    async def refused(self, request: Any) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.call(request)
        return from_rpc_error(error.value)


@pytest.fixture
async def client(shop: Shop, settings: InventorySettings) -> AsyncIterator[Client]:
    servicer = InventoryServicer(shop.db, settings, shop.clock)
    async with serving(settings, {service_grpc.add_InventoryServiceServicer_to_server: servicer}) as channel:
        yield Client(channel)
    await servicer.close()


def money(amount_minor: int, currency: str = "GBP") -> common_pb2.Money:
    return common_pb2.Money(amount_minor=amount_minor, currency=currency)


def item(sku: str, *prices: common_pb2.Money, **fields: Any) -> inventory_pb2.Item:
    values = {"name": f"Name of {sku}", "available": True, **fields}
    return inventory_pb2.Item(sku=sku, prices=prices or [money(1000)], **values)


def wanted(line: int, sku: str, quantity: int, seen: common_pb2.Money | None = None) -> service_pb2.WantedLine:
    return service_pb2.WantedLine(line=line, sku=sku, quantity=quantity, seen_unit_price=seen)


def reservation(order_id: str, *lines: service_pb2.WantedLine, currency: str = "GBP") -> service_pb2.ReserveStock:
    return service_pb2.ReserveStock(order_id=order_id, reservation=1, lines=lines, currency=currency)


@pytest.mark.requirement("R-3.5")
async def test_the_catalogue_is_upserted_and_read_in_bulk(client: Client, shop: Shop) -> None:
    mug = item("MUG", money(1000), money(1900, "JPY"), money(3100, "KWD"), variant_ids={"printful_variant_id": "42"})
    cap = item("CAP", weight_grams=120, low_stock_threshold=7)
    upsert = service_pb2.UpsertItemsRequest(request_id="r1", items=[mug, cap])
    assert await client.call(upsert) == service_pb2.UpsertItemsResponse(inserted=2)
    assert await client.call(upsert) == service_pb2.UpsertItemsResponse(inserted=2)
    got = await client.call(service_pb2.BatchGetItemsRequest(skus=["CAP", "NOPE", "MUG", "a b", "CAP"]))
    assert list(got.items) == [cap, inventory_pb2.Item.FromString(mug.SerializeToString())]
    assert list(got.unknown_skus) == ["NOPE", "a b"]
    dearer = item("MUG", money(1100), variant_ids={"printful_variant_id": "42"})
    changed = await client.call(service_pb2.UpsertItemsRequest(request_id="r2", items=[dearer, cap]))
    assert changed == service_pb2.UpsertItemsResponse(updated=1)
    got = await client.call(service_pb2.BatchGetItemsRequest(skus=["MUG"]))
    assert list(got.items) == [dearer]
    events = await shop.told("CatalogueChanged")
    assert [(event.context.sku, event.context.version) for event in events] == [("CAP", 1), ("MUG", 1), ("MUG", 2)]


@pytest.mark.requirement("R-3.5")
async def test_sellable_items_without_a_variant_id_are_listed(client: Client) -> None:
    key = "printful_variant_id"
    items = [
        item("A", variant_ids={key: "1"}),
        item("B"),
        item("C", variant_ids={key: ""}),
        item("D", available=False),
        item("E", variant_ids={"other": "1"}),
    ]
    await client.call(service_pb2.UpsertItemsRequest(request_id="r1", items=items))
    found: list[str] = []
    page = service_pb2.ListItemsResponse(next_page_token="")
    while True:
        page = await client.call(
            service_pb2.ListItemsRequest(page_size=2, page_token=page.next_page_token, missing_variant_key=key)
        )
        found += [entry.sku for entry in page.items]
        if not page.next_page_token:
            break
    assert found == ["B", "C", "E"]
    everything = await client.call(service_pb2.ListItemsRequest())
    assert [entry.sku for entry in everything.items] == ["A", "B", "C", "D", "E"]


@pytest.mark.requirement("R-2.1")
async def test_all_problems_of_all_lines_in_one_answer(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG", london=3)
    await client.call(
        service_pb2.UpsertItemsRequest(
            request_id="r1", items=[item("OFF", available=False), item("YEN", money(9, "JPY"))]
        )
    )
    lines = [
        wanted(1, "NOPE", 1),
        wanted(2, "MUG", 2, money(990)),
        wanted(3, "OFF", 1),
        wanted(4, "MUG", 2, money(989)),
        wanted(5, "YEN", 999),
        wanted(6, "YEN", 1),
    ]
    cart = await client.call(service_pb2.CheckCartRequest(lines=lines, currency="GBP"))
    problems = {(problem.kind, problem.sku): problem for problem in cart.problems}
    assert set(problems) == {
        (Kind.KIND_UNKNOWN_SKU, "NOPE"),
        (Kind.KIND_OUT_OF_STOCK, "MUG"),
        (Kind.KIND_PRICE_MOVED, "MUG"),
        (Kind.KIND_NOT_AVAILABLE, "OFF"),
        (Kind.KIND_OUT_OF_STOCK, "OFF"),
        (Kind.KIND_NO_PRICE_IN_CURRENCY, "YEN"),
        (Kind.KIND_QUANTITY_TOO_LARGE, "YEN"),
        (Kind.KIND_OUT_OF_STOCK, "YEN"),
    }
    short = problems[Kind.KIND_OUT_OF_STOCK, "MUG"]
    assert (short.available, short.requested) == (3, 4)
    moved = problems[Kind.KIND_PRICE_MOVED, "MUG"]
    assert (moved.price_was, moved.price_now) == (money(989), money(1000))
    large = problems[Kind.KIND_QUANTITY_TOO_LARGE, "YEN"]
    assert (large.requested, large.maximum) == (1000, 999)
    assert [line.line for line in cart.lines] == [2, 3, 4, 5, 6]
    result = await client.call(service_pb2.BatchReserveStockRequest(reservations=[reservation(new_id(), *lines)]))
    refusal = result.results[0].refusal
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "CART_REJECTED")
    assert list(refusal.problems) == list(cart.problems)
    assert await shop.level("MUG") == (3, 0, 0)


@pytest.mark.requirement("R-2.1", "R-2.2")
async def test_a_price_that_moved_by_one_percent_is_reserved_at_the_servers_price(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG", london=3)
    order_id = new_id()
    lines = [wanted(1, "MUG", 1, money(1010)), wanted(2, "MUG", 1, money(991))]
    assert not (await client.call(service_pb2.CheckCartRequest(lines=lines, currency="GBP"))).problems
    answer = await client.call(service_pb2.BatchReserveStockRequest(reservations=[reservation(order_id, *lines)]))
    hold = answer.results[0].hold
    assert (hold.order_id, hold.reservation, hold.state) == (order_id, 1, inventory_pb2.HOLD_STATE_TENTATIVE)
    assert [(line.line, line.quantity, line.location, line.unit_price) for line in hold.lines] == [
        (1, 1, "london", money(1000)),
        (2, 1, "london", money(1000)),
    ]
    assert hold.lapses_at.ToDatetime() == shop.clock.now().replace(tzinfo=None, second=5)


@pytest.mark.requirement("R-2.14", "R-3.1")
async def test_callers_at_once_form_batches_and_the_stock_stays_exact(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG", london=60)
    calls = [
        client.call(service_pb2.BatchReserveStockRequest(reservations=[reservation(new_id(), wanted(1, "MUG", 1))]))
        for _ in range(100)
    ]
    answers = await asyncio.gather(*calls)
    held = sum(answer.results[0].HasField("hold") for answer in answers)
    assert held == 60
    assert await shop.level("MUG") == (60, 60, 0)
    assert await shop.breaches() == []


@pytest.mark.requirement("S-6")
async def test_undone_reservations_are_refused_by_number(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG", london=3)
    order_id = new_id()
    undo = service_pb2.UndoReservation(order_id=order_id, reservation=1)
    await client.call(service_pb2.BatchUndoReservationsRequest(reservations=[undo, undo]))
    answer = await client.call(
        service_pb2.BatchReserveStockRequest(reservations=[reservation(order_id, wanted(1, "MUG", 1))])
    )
    assert answer.results[0].refusal.reason == "RESERVATION_UNDONE"


@pytest.mark.requirement("R-3.3", "R-2.13")
async def test_an_adjustment_counts_once(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG")
    change = service_pb2.StockAdjustment(sku="MUG", location="london", delta=7)
    request = service_pb2.AdjustStockRequest(request_id="r1", adjustments=[change], reason="count", actor="ann")
    first = await client.call(request)
    assert await client.call(request) == first
    assert [(level.on_hand, level.available) for level in first.levels] == [(7, 7)]
    request.adjustments[0].delta = 8
    assert (await client.refused(request)).reason == "REQUEST_ID_REUSED"
    below = service_pb2.AdjustStockRequest(request_id="r2", adjustments=[change], reason="count", actor="ann")
    below.adjustments[0].delta = -8
    assert (await client.refused(below)).reason == "BELOW_RESERVED"
    below.adjustments[0].sku = "NOPE"
    assert (await client.refused(below)).reason == "UNKNOWN_SKU"
    stock = await client.call(service_pb2.BatchGetStockRequest(skus=["MUG", "NOPE"]))
    assert [(level.sku, level.location, level.on_hand) for level in stock.levels] == [("MUG", "london", 7)]


@pytest.mark.requirement("R-3.3")
async def test_the_ledger_is_paged_by_sku_and_order(client: Client, shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    await shop.stocked("CAP", london=10)
    await shop.reserve(("order-1", {"MUG": 1, "CAP": 2}), ("order-2", {"MUG": 3}))
    first = await client.call(service_pb2.ListStockLedgerRequest(sku="MUG", page_size=2))
    rest = await client.call(
        service_pb2.ListStockLedgerRequest(sku="MUG", page_size=2, page_token=first.next_page_token)
    )
    entries = [*first.entries, *rest.entries]
    assert [(entry.kind, entry.reserved_delta, entry.order_id) for entry in entries] == [
        ("adjusted", 0, ""),
        ("reserved", 1, "order-1"),
        ("reserved", 3, "order-2"),
    ]
    of_order = await client.call(service_pb2.ListStockLedgerRequest(order_id="order-1"))
    assert sorted(entry.sku for entry in of_order.entries) == ["CAP", "MUG"]
    assert of_order.entries[0].occurred_at.ToDatetime() == shop.clock.now().replace(tzinfo=None)


BAD_REQUESTS = {
    "items[1].sku": service_pb2.UpsertItemsRequest(request_id="r", items=[item("A"), item("A")]),
    "items[0].prices[1].currency": service_pb2.UpsertItemsRequest(
        request_id="r", items=[item("A", money(1), money(2))]
    ),
    "items[0].prices[0].amount_minor": service_pb2.UpsertItemsRequest(request_id="r", items=[item("A", money(-1))]),
    'items[0].variant_ids["v"]': service_pb2.UpsertItemsRequest(
        request_id="r", items=[item("A", variant_ids={"v": "9" * 129})]
    ),
    "items[0].name": service_pb2.UpsertItemsRequest(request_id="r", items=[item("A", name="a\0b")]),
    "lines[1].line": service_pb2.CheckCartRequest(lines=[wanted(1, "A", 1), wanted(1, "B", 1)], currency="GBP"),
    "reservations[0].lines[1].line": service_pb2.BatchReserveStockRequest(
        reservations=[reservation(new_id(), wanted(1, "A", 1), wanted(1, "B", 1))]
    ),
    "lines[0].quantity": service_pb2.CheckCartRequest(lines=[wanted(1, "A", 0)], currency="GBP"),
    "lines": service_pb2.CheckCartRequest(lines=[wanted(n, "A", 1) for n in range(1, 102)], currency="GBP"),
    "page_token": service_pb2.ListStockLedgerRequest(page_token="x"),
    "reason": service_pb2.AdjustStockRequest(
        request_id="r",
        adjustments=[service_pb2.StockAdjustment(sku="A", location="l", delta=1)],
        reason="a\0b",
        actor="c",
    ),
}


@pytest.mark.requirement("R-2.1")
@pytest.mark.parametrize("field", BAD_REQUESTS)
async def test_a_bad_field_is_named(client: Client, field: str) -> None:
    error = await client.refused(BAD_REQUESTS[field])
    assert isinstance(error, InvalidField)
    assert error.violations[0][0] == field
