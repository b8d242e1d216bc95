"""A request becomes one confirmed order at the provider, whatever is lost, refused or missing on the way."""

import asyncio
from typing import Any

import pytest
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2

from services.chassis.ids import new_id
from tests.component.fulfillment.warehouse import TIMEOUT_S, Warehouse


@pytest.mark.requirement("R-4.1")
async def test_a_request_is_submitted_once_with_recipient_variants_and_retail_costs(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged, ledger.status) == (1, 1, "pending")
    assert sorted(ledger.orders[0].items.values()) == [(4001, 2), (4002, 1)]
    (submitted,) = await warehouse.said(order_id)
    assert submitted.DESCRIPTOR.name == "FulfillmentSubmitted"
    assert (submitted.provider, submitted.provider_order_id) == ("printful", str(ledger.orders[0].id))
    got = await warehouse.stub.GetFulfillment(service_pb2.GetFulfillmentRequest(order_id=order_id), timeout=TIMEOUT_S)
    assert got.fulfillment.state == fulfillment_pb2.FULFILLMENT_STATE_SUBMITTED


async def test_a_slow_answer_for_one_order_does_not_hold_up_the_others(warehouse: Warehouse) -> None:
    order_ids = [new_id(), new_id()]
    for order_id in order_ids:
        await warehouse.request(order_id)
    warehouse.owners.meeting = asyncio.Barrier(len(order_ids))  # no answer before both have been asked for
    async with asyncio.timeout(TIMEOUT_S):
        assert await warehouse.jobs.prepare() == len(order_ids)


@pytest.mark.requirement("R-4.2", "S-15", "S-16")
@pytest.mark.parametrize("operation", ["orders.create", "orders.confirm"])
@pytest.mark.parametrize("kind", ["timeout_after", "timeout_before", "error_after", "error_before", "rate_limit"])
async def test_an_answer_that_got_lost_never_makes_a_second_order(
    warehouse: Warehouse, operation: str, kind: Any
) -> None:
    order_id = new_id()
    await warehouse.provider.faults.api(
        vendor="printful", operation=operation, kind=kind, order_id=warehouse.external_id(order_id), times=1
    )
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.pass_time(minutes=10)
    await warehouse.pass_time(hours=2)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged) == (1, 1)
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]


@pytest.mark.requirement("R-4.7")
async def test_an_order_that_is_parked_after_all_tries_can_be_tried_again_by_a_person(warehouse: Warehouse) -> None:
    order_id = new_id()
    warehouse.owners.busy = True
    await warehouse.request(order_id)
    for _ in range(8):
        await warehouse.pass_time(hours=15)
    assert await warehouse.state(order_id) == "FAILED"
    assert await warehouse.names(order_id) == ["FulfillmentFailed"]
    assert await warehouse.incidents() == ["fulfillment_failed"]
    warehouse.owners.busy = False
    request = service_pb2.RetryFulfillmentRequest(request_id="retry-1", order_id=order_id)
    for _ in range(2):  # the second is a repetition of the first
        await warehouse.stub.RetryFulfillment(request, timeout=TIMEOUT_S)
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 1
    assert await warehouse.names(order_id) == ["FulfillmentFailed", "FulfillmentResumed", "FulfillmentSubmitted"]


@pytest.mark.requirement("R-4.3")
async def test_a_line_without_a_variant_holds_the_order_until_a_person_mends_it(warehouse: Warehouse) -> None:
    order_id = new_id()
    del warehouse.owners.variants["SHIRT"]
    await warehouse.request(order_id)
    await warehouse.work()
    (held,) = await warehouse.said(order_id)
    assert (held.DESCRIPTOR.name, held.reason) == ("FulfillmentHeld", "missing_variant: SHIRT")
    assert (await warehouse.ledger(order_id)).times_created == 0
    assert await warehouse.incidents() == ["fulfillment_held"]
    warehouse.owners.variants["SHIRT"] = "4002"
    request = service_pb2.RetryFulfillmentRequest(request_id="retry-1", order_id=order_id)
    await warehouse.stub.RetryFulfillment(request, timeout=TIMEOUT_S)
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 1


@pytest.mark.requirement("R-4.7")
async def test_a_recipient_that_the_provider_refuses_can_be_corrected(warehouse: Warehouse) -> None:
    order_id = new_id()
    edit = service_pb2.EditRecipientRequest(
        request_id="edit-1",
        order_id=order_id,
        recipient=common_pb2.Address(name="Ada", line1="1 Main St", city="New York", country_code="US"),
    )
    await warehouse.request(order_id)
    await warehouse.stub.EditRecipient(edit, timeout=TIMEOUT_S)
    await warehouse.work()
    assert await warehouse.state(order_id) == "FAILED"  # no state code and no zip: the provider says 400
    edit.request_id = "edit-2"
    edit.recipient.region, edit.recipient.postal_code = "NY", "10001"
    await warehouse.stub.EditRecipient(edit, timeout=TIMEOUT_S)
    retry = service_pb2.RetryFulfillmentRequest(request_id="retry-1", order_id=order_id)
    await warehouse.stub.RetryFulfillment(retry, timeout=TIMEOUT_S)
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 1


async def test_an_order_that_falls_back_to_draft_is_confirmed_again(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.provider.faults.api(
        vendor="printful", operation="orders.confirm", kind="fall_back", order_id=warehouse.external_id(order_id)
    )
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.hint(order_id, "order_updated")
    await warehouse.pass_time(hours=2)
    assert (await warehouse.ledger(order_id)).status == "draft"  # it is a try in vain
    await warehouse.pass_time(minutes=2)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged, ledger.status) == (1, 1, "pending")
