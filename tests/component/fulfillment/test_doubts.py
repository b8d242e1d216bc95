"""What one order, one webhook or one person does must not hold up, or be lost by, the work on others."""

import json
from datetime import datetime
from typing import Any

import pytest
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2

from services.chassis.errors import DependencyUnavailable
from services.chassis.ids import new_id
from services.chassis.operations import Operation, Retryable
from services.fulfillment.domain import Kind
from services.fulfillment.events import CONSUMER
from services.fulfillment.usecases.preparing import OrderDetails
from tests.component.fulfillment.warehouse import RECIPIENT, TIMEOUT_S, Owners, Warehouse

MALFORMED = service_pb2.WEBHOOK_OUTCOME_MALFORMED
PARK = "INSERT INTO parked_keys (consumer, topic, key, reason) VALUES ($1, 'onefold.orders.v1', $2, 'poison')"


@pytest.mark.requirement("S-27")
async def test_nothing_is_begun_for_an_order_whose_events_wait_parked(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.database.fetch(PARK, CONSUMER, order_id)  # it may be its cancellation that waits
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_created == 0
    await warehouse.database.fetch("DELETE FROM parked_keys")
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 1


@pytest.mark.requirement("S-27")
async def test_nothing_is_confirmed_while_a_cancellation_waits_parked(warehouse: Warehouse) -> None:
    order_id = new_id()
    request_id = await warehouse.request(order_id)
    await warehouse.jobs.prepare()  # the create is planned
    await warehouse.database.fetch(PARK, CONSUMER, order_id)
    await warehouse.work()
    await warehouse.hint(order_id, "order_created")
    await warehouse.pass_time(hours=2)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_created, ledger.times_charged) == (1, 0)
    assert await warehouse.database.fetchval("SELECT count(*) FROM operations WHERE kind = 'confirm'") == 0
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]  # as its redrive does
    await warehouse.database.fetch("DELETE FROM parked_keys")
    await warehouse.work()
    ledger = await warehouse.ledger(order_id)
    assert (ledger.status, ledger.times_charged) == ("canceled", 0)
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]


@pytest.mark.requirement("S-27")
async def test_a_confirm_that_was_planned_before_an_event_was_parked_is_not_sent(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.jobs.prepare()
    await warehouse.runner.run_once()  # created, and its confirm is planned
    await warehouse.database.fetch(PARK, CONSUMER, order_id)
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 0
    await warehouse.database.fetch("DELETE FROM parked_keys")
    await warehouse.pass_time(minutes=2)
    assert (await warehouse.ledger(order_id)).times_charged == 1


@pytest.mark.requirement("S-27")
async def test_an_order_is_confirmed_once_its_parked_events_were_heard(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.jobs.prepare()
    await warehouse.database.fetch(PARK, CONSUMER, order_id)
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 0
    await warehouse.database.fetch("DELETE FROM parked_keys")
    await warehouse.work()
    assert (await warehouse.ledger(order_id)).times_charged == 1


@pytest.mark.requirement("R-4.7")
async def test_an_address_corrected_while_the_order_is_read_is_the_one_that_is_used(warehouse: Warehouse) -> None:
    order_id = new_id()
    corrected = common_pb2.Address(name="Grace", line1="1 New Street", city="London", country_code="GB")
    edit = service_pb2.EditRecipientRequest(request_id="edit-1", order_id=order_id, recipient=corrected)

    class Corrected(Owners):
        async def order(self, order_id: str) -> OrderDetails:
            details = await super().order(order_id)
            await warehouse.stub.EditRecipient(edit, timeout=TIMEOUT_S)
            return details

    warehouse.jobs._reader = Corrected()
    await warehouse.request(order_id)
    await warehouse.work()
    sent = await warehouse.database.fetchval(
        "SELECT convert_from(request, 'UTF8') FROM operations WHERE subject = $1 AND kind = 'create'", order_id
    )
    assert json.loads(sent)["order"]["recipient"]["name"] == "Grace" != RECIPIENT.name


@pytest.mark.requirement("S-22", "R-5.6")
async def test_an_object_that_cannot_be_read_holds_up_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange, plain = new_id(), new_id()
    for order_id in (strange, plain):
        await warehouse.request(order_id)
    await warehouse.work()
    fetch = warehouse.context.provider.fetch

    async def changed(external_id: str) -> dict[str, object] | None:
        answer = await fetch(external_id)
        return {"id": 1} if external_id == warehouse.external_id(strange) else answer

    monkeypatch.setattr(warehouse.context.provider, "fetch", changed)
    await warehouse.provider.printful.ship(warehouse.external_id(plain))
    for order_id in (strange, plain):
        await warehouse.hint(order_id)
    await warehouse.work()
    assert (await warehouse.names(plain))[-1] == "ShipmentSent"
    assert await warehouse.incidents() == ["provider_object_not_applied"]
    await warehouse.pass_time(hours=2)
    assert await warehouse.jobs.watch() == 2
    assert await warehouse.jobs.watch() == 0


@pytest.mark.requirement("R-4.6")
async def test_an_item_that_somebody_added_at_the_provider_is_no_line_of_ours(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    provider, clock = warehouse.context.provider, warehouse.clock
    answer = await provider.fetch(warehouse.external_id(order_id))
    assert answer is not None
    answer["items"].append({"id": 990, "external_id": None, "sku": "GIFT", "quantity": 1})
    answer["parcels"][0]["shipment_items"].append({"order_item_id": 990, "quantity": 1})
    (parcel,) = provider.read_object(answer, clock.now()).shipments
    assert [unit.sku for unit in parcel.lines] == ["MUG", "SHIRT"]


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize("kind", ["a\\u0000b", "a\\ud800"])
async def test_signed_garbage_that_cannot_be_stored_is_malformed(warehouse: Warehouse, kind: str) -> None:
    body = f'{{"type": "{kind}", "data": {{"order": {{"id": 1}}}}}}'.encode()
    assert await warehouse.ingest(body) == [MALFORMED]


async def test_a_body_nested_too_deep_is_malformed(warehouse: Warehouse) -> None:
    assert await warehouse.ingest(b"[" * 100_000) == [MALFORMED]


@pytest.mark.requirement("R-4.7", "S-15")
async def test_a_provider_that_never_takes_it_parks_the_order_after_a_day(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()

    async def refused(operation: Operation) -> None:
        raise Retryable("401: the token is not valid")

    monkeypatch.setattr(warehouse.context.provider, "send", refused)
    await warehouse.request(order_id)
    await warehouse.work()
    for hours in (1, 1, 1, 2, 3, 7, 15):
        assert await warehouse.state(order_id) != "FAILED"
        await warehouse.pass_time(hours=hours)
    assert await warehouse.state(order_id) == "FAILED"
    assert await warehouse.names(order_id) == ["FulfillmentFailed"]
    assert await warehouse.incidents() == ["fulfillment_failed"]


@pytest.mark.requirement("R-4.7", "S-15")
@pytest.mark.parametrize("operation", ["orders.create", "orders.confirm"])
async def test_tries_that_look_ups_proved_absent_count_as_well(warehouse: Warehouse, operation: str) -> None:
    order_id = new_id()
    external_id = warehouse.external_id(order_id)
    await warehouse.provider.faults.api(
        vendor="printful", operation=operation, kind="error_before", order_id=external_id, times=100
    )
    await warehouse.request(order_id)
    await warehouse.work()
    for _ in range(2 * 8):  # each try is sent, and then looked up
        await warehouse.pass_time(hours=15)
    assert await warehouse.state(order_id) == "FAILED"
    assert await warehouse.names(order_id) == ["FulfillmentFailed"]
    assert await warehouse.incidents() == ["fulfillment_failed"]


@pytest.mark.requirement("R-4.7")
@pytest.mark.parametrize(("kind", "shown"), [(Kind.CONFIRM, "draft"), (Kind.CANCEL, "pending")])
async def test_an_answer_that_changed_nothing_is_not_asked_again_at_once(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, kind: Kind, shown: str
) -> None:
    order_id = new_id()
    calls: list[datetime] = []
    provider = warehouse.context.provider
    send = provider.send

    async def idle(operation: Operation) -> dict[str, Any]:
        if operation.kind != kind:
            return await send(operation)
        assert len(calls) < 10, "asked without end"
        calls.append(warehouse.clock.now())
        answer = await provider.fetch(operation.parameters["external_id"])
        assert answer is not None
        return {**answer, "status": shown}

    monkeypatch.setattr(provider, "send", idle)
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    if kind is Kind.CANCEL:
        await warehouse.cancel(order_id, request_id)
    await warehouse.work()
    assert len(calls) == 1
    await warehouse.pass_time(minutes=2)
    assert len(calls) == 2
    monkeypatch.setattr(provider, "send", send)
    await warehouse.pass_time(minutes=10)
    assert (await warehouse.ledger(order_id)).status == ("pending" if kind is Kind.CONFIRM else "canceled")


@pytest.mark.requirement("R-4.1", "S-26")
async def test_while_orders_is_away_no_try_is_lost(warehouse: Warehouse) -> None:
    order_id = new_id()
    warehouse.owners.away = True
    await warehouse.request(order_id)
    for _ in range(20):
        with pytest.raises(DependencyUnavailable):
            await warehouse.jobs.prepare()
    warehouse.owners.away = False
    await warehouse.work()
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]
