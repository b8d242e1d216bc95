"""Webhooks are hints: parcels count once, however often, late or never they are told of."""

import pytest
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2

from services.chassis.ids import new_id
from tests.component.fulfillment.warehouse import Warehouse

STORED = service_pb2.WEBHOOK_OUTCOME_STORED
DUPLICATE = service_pb2.WEBHOOK_OUTCOME_DUPLICATE
MALFORMED = service_pb2.WEBHOOK_OUTCOME_MALFORMED


async def submitted(warehouse: Warehouse) -> str:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    return order_id


@pytest.mark.requirement("R-4.6", "S-22")
async def test_several_parcels_are_sent_and_delivered_once_each(warehouse: Warehouse) -> None:
    order_id = await submitted(warehouse)
    external_id = warehouse.external_id(order_id)
    items = (await warehouse.ledger(order_id)).orders[0].items
    mug, shirt = sorted(items, key=lambda item: items[item])  # by variant id
    first = await warehouse.provider.printful.ship(external_id, {mug: 1})
    for kind in ("shipment_sent", "order_updated"):  # the same parcel is seen twice
        await warehouse.hint(order_id, kind)
        await warehouse.work()
    await warehouse.provider.printful.ship(external_id, {mug: 1, shirt: 1})
    await warehouse.provider.printful.deliver(external_id)
    for kind in ("shipment_sent", "shipment_delivered"):
        await warehouse.hint(order_id, kind)
    await warehouse.work()
    said = (await warehouse.said(order_id))[1:]
    names = [message.DESCRIPTOR.name for message in said]
    assert sorted(names) == ["ShipmentDelivered"] * 2 + ["ShipmentSent"] * 2
    assert said[0].tracking_number == first.tracking_number
    assert [(unit.line, unit.sku, unit.quantity) for unit in said[0].lines] == [(1, "MUG", 1)]
    assert await warehouse.state(order_id) == "COMPLETED"


@pytest.mark.requirement("S-22", "R-4.6")
async def test_a_redelivered_webhook_is_the_same_although_its_retries_differ(warehouse: Warehouse) -> None:
    order_id = await submitted(warehouse)
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    assert await warehouse.hint(order_id) == [STORED]
    assert await warehouse.hint(order_id, retries=3) == [DUPLICATE]
    await warehouse.work()
    assert await warehouse.hint(order_id, retries=4) == [DUPLICATE]
    await warehouse.work()
    assert (await warehouse.names(order_id)).count("ShipmentSent") == 1


@pytest.mark.requirement("S-22")
async def test_a_lost_webhook_is_made_up_for_by_looking(warehouse: Warehouse) -> None:
    order_id = await submitted(warehouse)
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    await warehouse.pass_time(minutes=59)
    assert await warehouse.jobs.watch() == 0
    await warehouse.pass_time(minutes=2)
    assert await warehouse.jobs.watch() == 1
    assert (await warehouse.names(order_id))[-1] == "ShipmentSent"


@pytest.mark.requirement("S-22")
async def test_a_forged_webhook_changes_nothing_that_the_provider_does_not_show(warehouse: Warehouse) -> None:
    order_id = await submitted(warehouse)
    await warehouse.hint(order_id, "shipment_delivered")
    await warehouse.hint(new_id(), "shipment_delivered")
    await warehouse.work()
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]


async def test_garbage_is_told_apart_and_not_stored(warehouse: Warehouse) -> None:
    bodies = [b"[]", b"{}", b'{"type": 1, "data": {"order": 5}}', b"\xff\xfe"]
    assert await warehouse.ingest(*bodies) == [MALFORMED] * 4
    assert await warehouse.database.fetchval("SELECT count(*) FROM webhooks") == 0


@pytest.mark.requirement("R-4.6")
async def test_holds_failures_and_returns_at_the_provider_are_told(warehouse: Warehouse) -> None:
    order_id = await submitted(warehouse)
    external_id = warehouse.external_id(order_id)
    await warehouse.provider.printful.hold(external_id, "address")
    await warehouse.hint(order_id, "order_put_hold")
    await warehouse.work()
    await warehouse.provider.printful.release(external_id)
    await warehouse.hint(order_id, "order_remove_hold")
    await warehouse.work()
    await warehouse.provider.printful.ship(external_id)
    await warehouse.provider.printful.return_parcel(external_id, reason="refused")
    await warehouse.hint(order_id, "shipment_returned")
    await warehouse.work()
    assert (await warehouse.names(order_id))[1:] == [
        "FulfillmentHeld",
        "FulfillmentResumed",
        "ShipmentSent",
        "ShipmentReturned",
    ]
