"""Orders are placed: frozen, counted once, or refused without a trace."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import grpc.aio
import pytest
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from prometheus_client import REGISTRY

from services.chassis.errors import Code, DomainError, InvalidField
from services.chassis.ids import parse_number
from services.chassis.testing import said, wait_until
from services.orders.partners import Inventory, Reservation
from services.orders.placement import Placement
from services.orders.usecases.commands import HeldLine
from tests.component.orders.shop import ADDRESS, TIMEOUT_S, Shop, command, refusal, wanted


@pytest.mark.requirement("R-2.2", "R-2.6", "R-1.9", "S-6")
async def test_an_order_freezes_what_the_catalogue_says(shop: Shop) -> None:
    await shop.stocked("MUG", 10, 1_050)
    await shop.stocked("SHIRT", 10, 2_000)
    request = wanted(MUG=2, SHIRT=1)
    request.lines.add(sku="MUG", quantity=1).seen_unit_price.CopyFrom(
        common_pb2.Money(amount_minor=1_060, currency="GBP")
    )
    request.metadata["cart"] = "blue"

    order = (await shop.create(request)).order
    await shop.stocked("MUG", 1, 9_999)

    assert order.state == orders_pb2.ORDER_STATE_PENDING
    assert [(line.line, line.sku, line.quantity, line.unit_price.amount_minor) for line in order.lines] == [
        (1, "MUG", 2, 1_050),
        (2, "SHIRT", 1, 2_000),
        (3, "MUG", 1, 1_050),
    ]
    assert {line.location for line in order.lines} == {"london"}
    assert (order.subtotal.amount_minor, order.shipping.amount_minor, order.total.amount_minor) == (5_150, 395, 5_545)
    assert order.customer_id == "" and order.email == "ada@example.org" and order.shipping_address == ADDRESS
    assert parse_number(order.number)
    stored = await shop.get(order.order_id)
    assert [(each.to_state, each.actor) for each in stored.history] == [(orders_pb2.ORDER_STATE_PENDING, "customer")]
    del stored.history[:]
    assert stored == order
    (created,) = await said(shop.database, order.order_id)
    assert (created.context.version, created.context.caused_by) == (1, request.request_id)  # type: ignore[attr-defined]


@pytest.mark.requirement("R-2.2", "R-2.4")
async def test_an_order_that_costs_nothing_is_stored_as_far_as_it_went(shop: Shop) -> None:
    await shop.stocked("GIFT", 10, EUR=0)
    request = wanted(GIFT=1)
    request.currency = "EUR"  # which has no shipping fee
    order = (await shop.create(request)).order
    stored = await shop.get(order.order_id)
    assert (stored.total.amount_minor, stored.state, stored.version) == (0, orders_pb2.ORDER_STATE_CONFIRMED, 1)
    assert [entry.to_state for entry in stored.history][-1] == stored.state == order.state


@pytest.mark.requirement("F-57")
async def test_plans_are_kept_for_the_transaction_that_places_and_no_longer(shop: Shop) -> None:
    await shop.stocked("MUG", 1, 1_050)
    await shop.create(wanted(MUG=1))
    sessions = await asyncio.gather(
        *(shop.database.fetchrow("SHOW plan_cache_mode") for _ in range(10)),
        *(shop.database.fetchrow("SHOW enable_seqscan") for _ in range(10)),
    )
    assert {row[0] for row in sessions if row is not None} == {"force_custom_plan", "on"}


@pytest.mark.requirement("R-2.1", "S-5")
async def test_a_rejected_cart_names_all_problems_and_leaves_nothing(shop: Shop) -> None:
    await shop.stocked("MUG", 3)
    request = wanted("r", MUG=2, HAT=1)
    request.lines.add(sku="MUG", quantity=2)

    first = await refusal(shop.create(request))
    await shop.stocked("HAT", 5)
    await shop.stocked("MUG", 5)
    again = await refusal(shop.create(request))

    assert (first.code, first.reason) == (Code.FAILED_PRECONDITION, "CART_REJECTED")
    (problems,) = first.details
    assert isinstance(problems, common_pb2.CartProblems)
    kinds = {(p.sku, common_pb2.CartProblem.Kind.Name(p.kind)) for p in problems.problems}
    assert kinds == {("HAT", "KIND_UNKNOWN_SKU"), ("MUG", "KIND_OUT_OF_STOCK")}
    short = next(p for p in problems.problems if p.sku == "MUG")
    assert (short.available, short.requested) == (3, 4)
    assert again.reason == "CART_REJECTED" and again.details == first.details
    assert await shop.phases() == ["FAILED"]
    assert await shop.count("orders") == await shop.count("outbox") == await shop.open_holds() == 0


@pytest.mark.requirement("R-2.13", "S-5", "R-1.1")
async def test_one_request_ten_times_at_once_is_one_order(shop: Shop) -> None:
    await shop.stocked("MUG", 100)
    request = wanted("r", MUG=1)
    results = await asyncio.gather(*(shop.create(request) for _ in range(10)), return_exceptions=True)

    created = [each for each in results if not isinstance(each, BaseException)]
    assert created and len({each.order.order_id for each in created}) == 1
    for each in results:
        if isinstance(each, BaseException):
            error = await refusal(_raise(each))
            assert error.code is Code.ABORTED and error.retry_delay is not None
    assert (await shop.create(request)).order == created[0].order
    assert await shop.count("orders") == await shop.open_holds() == 1


@pytest.mark.requirement("S-5", "R-2.13")
async def test_another_body_under_a_used_request_id_is_refused(shop: Shop) -> None:
    await shop.stocked("MUG", 10)
    await shop.create(wanted("r", MUG=1))
    error = await refusal(shop.create(wanted("r", MUG=2)))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await shop.count("orders") == 1


@pytest.mark.requirement("S-5")
async def test_a_retry_after_a_week_finds_its_order(shop: Shop) -> None:
    await shop.stocked("MUG", 1)
    order = (await shop.create(wanted("r", MUG=1))).order
    await shop.database.fetch("UPDATE idempotency_keys SET updated_at = clock_timestamp() - interval '7 days'")
    assert await shop.jobs.purge() == 1

    other, again, new = await _results(shop, wanted("r", MUG=2), wanted("r", MUG=1), wanted("new", HAT=1))

    assert other.refusal.reason == "REQUEST_ID_REUSED"
    assert again.created.order == order
    assert new.refusal.reason == "CART_REJECTED"
    assert await shop.count("orders") == 1


@pytest.mark.requirement("R-2.13", "S-5")
async def test_only_finished_requests_are_purged(shop: Shop) -> None:
    await shop.placement.placing.claim([command(wanted("unfinished", MUG=1))])
    await shop.database.fetch("UPDATE idempotency_keys SET updated_at = clock_timestamp() - interval '7 days'")
    assert await shop.jobs.purge() == 0


@pytest.mark.requirement("R-2.14", "S-5")
async def test_a_batch_answers_as_single_calls_do(shop: Shop) -> None:
    await shop.stocked("MUG", 3)
    requests = [wanted("1", MUG=1), wanted("2", HAT=1), wanted("3", MUG=2), wanted("4", MUG=1), wanted("1", MUG=1)]
    together = await _results(shop, *requests)

    async def alone(request: service_pb2.CreateOrderRequest) -> str:
        try:
            return (await shop.create(request)).order.order_id
        except grpc.aio.AioRpcError as error:
            return (await refusal(_raise(error))).reason

    assert [each.refusal.reason for each in together] == [
        "",
        "CART_REJECTED",
        "",
        "CART_REJECTED",
        "REQUEST_IN_PROGRESS",
    ]
    assert [await alone(request) for request in requests] == [
        together[0].created.order.order_id,
        "CART_REJECTED",
        together[2].created.order.order_id,
        "CART_REJECTED",
        together[0].created.order.order_id,
    ]
    assert await shop.available("MUG") == 0


@pytest.mark.requirement("R-2.14", "R-3.1")
async def test_two_orders_of_eight_for_ten_units(shop: Shop) -> None:
    await shop.stocked("MUG", 10)
    results = await asyncio.gather(*(shop.create(wanted(MUG=8)) for _ in range(2)), return_exceptions=True)
    assert sum(isinstance(each, BaseException) for each in results) == 1
    assert await shop.available("MUG") == 2


@pytest.mark.requirement("R-2.14")
async def test_a_hundred_orders_at_once(shop: Shop) -> None:
    await shop.stocked("MUG", 100)
    created = await asyncio.gather(*(shop.create(wanted(MUG=1)) for _ in range(100)))
    assert len({each.order.number for each in created}) == 100
    assert await shop.available("MUG") == 0
    assert await shop.count("outbox") == await shop.count("orders") == 100


@pytest.mark.requirement("S-2", "R-2.13")
async def test_an_order_that_costs_nothing_goes_on_at_once(shop: Shop) -> None:
    await shop.stocked("GIFT", 1, 0, JPY=0)
    request = wanted(GIFT=1)
    request.currency, request.payment_flow = "JPY", orders_pb2.PAYMENT_FLOW_INTENT
    response = await shop.create(request)
    assert response.order.state == orders_pb2.ORDER_STATE_CONFIRMED and not response.HasField("payment")
    assert await shop.said(response.order.order_id) == ["OrderCreated", "OrderConfirmed", "StockCommitRequested"]


async def test_nul_is_refused_by_name(shop: Shop) -> None:
    request = wanted(MUG=1)
    request.shipping_address.name = "Ada\x00"
    request.metadata["note"] = "\x00"
    error = await refusal(shop.create(request))
    assert isinstance(error, InvalidField)
    assert {path for path, _ in error.violations} == {"shipping_address.name", 'metadata["note"]'}


@pytest.mark.requirement("R-2.12")
async def test_an_order_says_until_when_it_can_be_paid(shop: Shop) -> None:
    await shop.stocked("MUG", 1)
    order = await shop.order(MUG=1)
    until = shop.clock.now() + timedelta(milliseconds=shop.settings.payable_ms)
    assert order.payable_until.ToDatetime(until.tzinfo) == until


async def _results(shop: Shop, *requests: service_pb2.CreateOrderRequest) -> list[service_pb2.CreateOrderResult]:
    request = service_pb2.BatchCreateOrdersRequest(requests=requests)
    return list((await shop.stub.BatchCreateOrders(request, timeout=TIMEOUT_S)).results)


async def _raise(error: BaseException) -> None:
    raise error


@dataclass
class Hurt:
    """Inventory behind a defect that one request meets."""

    inventory: Inventory

    async def reserve(self, reservations: Sequence[Reservation]) -> list[tuple[HeldLine, ...] | DomainError]:
        if any(each.command.request.request_id == "bad" for each in reservations):
            raise ValueError("a defect")
        return await self.inventory.reserve(reservations)


@pytest.mark.requirement("R-2.13", "S-26")
async def test_an_item_that_fails_loses_no_other(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    placing = shop.placement.placing
    placing._inventory = Hurt(placing._inventory)  # type: ignore[assignment]
    request = service_pb2.BatchCreateOrdersRequest(requests=[wanted(each, MUG=1) for each in ("a", "bad", "c")])
    results = (await shop.stub.BatchCreateOrders(request, timeout=TIMEOUT_S)).results
    assert [each.WhichOneof("result") for each in results] == ["created", "refusal", "created"]
    assert (results[1].refusal.code, "defect" in results[1].refusal.message) == ("INTERNAL", False)
    assert await shop.count("orders") == 2


@dataclass
class Held:
    """Inventory that answers when it is let."""

    inventory: Inventory
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def reserve(self, reservations: Sequence[Reservation]) -> list[tuple[HeldLine, ...] | DomainError]:
        self.asked.set()
        await self.answering.wait()
        return await self.inventory.reserve(reservations)


@pytest.mark.requirement("R-6.3")
async def test_metrics_tell_of_the_commands_that_wait_also_beside_jobs(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    placing = shop.placement.placing
    placing._inventory = held = Held(placing._inventory)  # type: ignore[assignment]

    def waiting() -> float | None:
        return REGISTRY.get_sample_value("onefold_batch_waiting_commands", {"batcher": "create_order"})

    async with Placement(
        shop.database, shop.settings, shop.clock, name="completer"
    ):  # that of the jobs, in the same process
        calls = [asyncio.create_task(shop.create(wanted(MUG=1)))]
        await held.asked.wait()
        calls.append(asyncio.create_task(shop.create(wanted(MUG=1))))
        try:
            await wait_until(lambda: waiting() == 1)
        finally:
            held.answering.set()
            await asyncio.gather(*calls)
    assert waiting() == 0
