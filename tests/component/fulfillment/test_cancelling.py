"""Cancelled units will certainly not ship: one answer, and only on proof (S-10)."""

from datetime import timedelta
from typing import Any

import pytest
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2

from services.chassis.ids import new_id
from services.chassis.operations import Declined, Operation, Retryable
from services.fulfillment.domain import Kind
from services.fulfillment.providers.printful import PrintfulProvider
from tests.component.fulfillment.warehouse import TIMEOUT_S, Warehouse

pytestmark = [pytest.mark.requirement("S-10"), pytest.mark.requirement("R-2.10")]


async def test_what_was_never_sent_is_cancelled_at_once(warehouse: Warehouse) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.jobs.prepare()  # planned, not sent
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]
    (answer,) = await warehouse.said(order_id)
    assert (answer.DESCRIPTOR.name, answer.cancellation_id) == ("FulfillmentCancelled", "cancel-1")
    assert [(unit.sku, unit.quantity) for unit in answer.cancelled] == [("MUG", 2), ("SHIRT", 1)]
    assert not answer.not_stoppable
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_created == 0


async def test_while_a_create_is_in_doubt_there_is_no_answer(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.provider.faults.api(
        vendor="printful", operation="orders.create", kind="timeout_after", order_id=warehouse.external_id(order_id)
    )
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.cancel(order_id, request_id)
    await warehouse.work()
    assert await warehouse.names(order_id) == []
    await warehouse.pass_time(minutes=5)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged, ledger.status) == (1, 0, "canceled")
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]


@pytest.mark.parametrize(("operation", "created"), [("orders.create", 0), ("orders.confirm", 1)])
@pytest.mark.parametrize("kind", ["timeout_before", "error_before"])
async def test_what_never_arrived_is_not_sent_again_once_a_cancellation_was_heard(
    warehouse: Warehouse, operation: str, created: int, kind: Any
) -> None:
    order_id = new_id()
    await warehouse.provider.faults.api(
        vendor="printful", operation=operation, kind=kind, order_id=warehouse.external_id(order_id), times=1
    )
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]
    await warehouse.pass_time(minutes=5)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged) == (created, 0)
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]


async def test_a_confirm_that_was_put_off_is_not_sent_once_a_cancellation_was_heard_meanwhile(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    provider = warehouse.context.provider
    send = provider.send
    request_id = await warehouse.request(order_id)

    async def busy(operation: Operation) -> dict[str, Any]:
        if operation.kind != Kind.CONFIRM:
            return await send(operation)
        monkeypatch.setattr(provider, "send", send)
        assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]  # too late to take the call back
        raise Retryable("429", after=timedelta(seconds=1))

    monkeypatch.setattr(provider, "send", busy)
    await warehouse.work()
    await warehouse.pass_time(minutes=1)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_charged, ledger.status) == (0, "canceled")
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]


@pytest.mark.requirement("R-4.7")
async def test_a_cancel_that_never_arrived_is_sent_again(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.provider.faults.api(
        vendor="printful", operation="orders.cancel", kind="timeout_before", order_id=warehouse.external_id(order_id)
    )
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.cancel(order_id, request_id)
    await warehouse.work()
    await warehouse.pass_time(minutes=5)
    assert (await warehouse.ledger(order_id)).status == "canceled"
    assert (await warehouse.names(order_id))[-1] == "FulfillmentCancelled"


async def test_a_confirmed_order_is_cancelled_at_the_provider_first(warehouse: Warehouse) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.cancel(order_id, request_id)
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).status == "canceled"
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted", "FulfillmentCancelled"]
    assert await warehouse.cancel(order_id, request_id) == ["STALE"]
    assert (await warehouse.names(order_id)).count("FulfillmentCancelled") == 1


async def test_goods_that_are_being_made_cannot_be_stopped(warehouse: Warehouse) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.provider.printful.start(warehouse.external_id(order_id))
    await warehouse.cancel(order_id, request_id)
    await warehouse.work()
    assert (await warehouse.names(order_id))[-1] == "FulfillmentCancellationRefused"
    assert await warehouse.state(order_id) == "SUBMITTED"


async def removed(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, order_id: str) -> None:
    """The draft was deleted at the provider before it was confirmed."""
    provider = warehouse.context.provider
    assert isinstance(provider, PrintfulProvider)
    call = provider._call

    async def gone(method: str, path: str, **options: Any) -> dict[str, Any]:
        if warehouse.external_id(order_id) in path:
            raise Declined("404", "404: Not found")
        return await call(method, path, **options)

    monkeypatch.setattr(provider, "_call", gone)


@pytest.mark.requirement("R-4.7")
async def test_a_draft_that_is_gone_at_the_provider_is_cancelled(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.jobs.prepare()
    await warehouse.runner.run_once()
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]  # its confirm is taken back
    await removed(warehouse, monkeypatch, order_id)
    await warehouse.work()
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]


@pytest.mark.requirement("R-4.7")
async def test_in_place_of_a_draft_that_is_gone_a_person_has_a_new_one_made(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.jobs.prepare()
    await warehouse.runner.run_once()
    await removed(warehouse, monkeypatch, order_id)
    await warehouse.work()
    assert await warehouse.state(order_id) == "FAILED"
    assert [(event.DESCRIPTOR.name, event.code) for event in await warehouse.said(order_id)] == [
        ("FulfillmentFailed", "draft_gone")
    ]
    assert await warehouse.incidents() == ["fulfillment_failed"]
    request = service_pb2.RetryFulfillmentRequest(request_id="retry-1", order_id=order_id)
    await warehouse.stub.RetryFulfillment(request, timeout=TIMEOUT_S)
    await warehouse.work()
    second = await warehouse.ledger(order_id, 2)
    assert (second.times_created, second.times_charged, second.status) == (1, 1, "pending")


async def test_a_new_round_makes_a_new_object(warehouse: Warehouse) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.cancel(order_id, request_id)
    await warehouse.work()
    await warehouse.request(order_id, round_=2)
    await warehouse.work()
    assert (await warehouse.ledger(order_id, 1)).status == "canceled"
    second = await warehouse.ledger(order_id, 2)
    assert (second.status, second.times_charged) == ("pending", 1)


@pytest.mark.requirement("R-4.6")
async def test_an_order_that_the_provider_cancels_by_itself_is_told_without_an_id(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.provider.printful.cancel(warehouse.external_id(order_id), "out of blanks")
    await warehouse.hint(order_id, "order_canceled")
    await warehouse.work()
    said = await warehouse.said(order_id)
    assert (said[-1].DESCRIPTOR.name, said[-1].cancellation_id) == ("FulfillmentCancelled", "")
    assert await warehouse.incidents() == ["cancelled_by_provider"]
