"""A parcel counts as sent when the provider says that it left, and what became of it is told in its words.

Why: the customer is told, stock is booked and a cancellation stops for a parcel that left, and for no other.
"""

from typing import Any

import pytest

from services.chassis import incidents
from services.chassis.ids import new_id
from services.fulfillment.domain import ShipmentState
from services.fulfillment.providers import printful_words
from tests.component.fulfillment.warehouse import Warehouse


async def submitted(warehouse: Warehouse) -> tuple[str, str]:
    """The ids of an order at the provider: ours and its own name."""
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    return order_id, warehouse.external_id(order_id)


async def look(warehouse: Warehouse, order_id: str) -> list[str]:
    """What was said after the provider's object was looked at again."""
    warehouse.clock.advance(warehouse.context.watch_every)
    await warehouse.hint(order_id, "order_updated")
    await warehouse.work()
    return (await warehouse.names(order_id))[1:]


@pytest.mark.requirement("R-4.6", "S-10")
@pytest.mark.parametrize("word", ["pending", "onhold", "outstock", "packaged"])
async def test_a_parcel_is_told_of_when_it_leaves_and_not_before(warehouse: Warehouse, word: str) -> None:
    order_id, external_id = await submitted(warehouse)
    parcel = await warehouse.provider.printful.pack(external_id)
    await warehouse.provider.printful.mark(external_id, word, "pre_transit")
    assert await look(warehouse, order_id) == []
    assert await warehouse.state(order_id) == "SUBMITTED"
    await warehouse.provider.printful.mark(external_id, "shipped", "in_transit")
    assert await look(warehouse, order_id) == ["ShipmentSent"]
    assert (await warehouse.said(order_id))[-1].tracking_number == parcel.tracking_number
    assert await warehouse.state(order_id) == "COMPLETED"
    assert await warehouse.incidents() == []


@pytest.mark.requirement("R-4.6", "S-10")
async def test_the_units_of_a_parcel_that_was_cancelled_leave_in_another(warehouse: Warehouse) -> None:
    order_id, external_id = await submitted(warehouse)
    await warehouse.provider.printful.pack(external_id)
    await warehouse.provider.printful.mark(external_id, "canceled", "canceled")
    assert await look(warehouse, order_id) == []
    second = await warehouse.provider.printful.ship(external_id)
    assert await look(warehouse, order_id) == ["ShipmentSent"]
    sent = (await warehouse.said(order_id))[-1]
    assert sent.tracking_number == second.tracking_number
    assert [(unit.sku, unit.quantity) for unit in sent.lines] == [("MUG", 2), ("SHIRT", 1)]


@pytest.mark.requirement("R-4.6")
@pytest.mark.parametrize("word", ["failure", "canceled"])
async def test_a_parcel_that_could_not_be_delivered_has_failed_and_may_still_arrive(
    warehouse: Warehouse, word: str
) -> None:
    order_id, external_id = await submitted(warehouse)
    await warehouse.provider.printful.ship(external_id)
    await warehouse.provider.printful.mark(external_id, "shipped", word)
    assert await look(warehouse, order_id) == ["ShipmentSent", "ShipmentFailed"]
    assert (await warehouse.said(order_id))[-1].reason == word
    await warehouse.provider.printful.mark(external_id, "shipped", "delivered")
    assert (await look(warehouse, order_id))[2:] == ["ShipmentDelivered"]


@pytest.mark.requirement("R-4.6", "S-21")
async def test_a_parcel_that_was_told_as_sent_and_is_cancelled_has_failed_once(warehouse: Warehouse) -> None:
    order_id, external_id = await submitted(warehouse)
    items = (await warehouse.ledger(order_id)).orders[0].items
    await warehouse.provider.printful.ship(external_id, dict.fromkeys(items, 1))
    assert await look(warehouse, order_id) == ["ShipmentSent"]
    await warehouse.provider.printful.mark(external_id, "canceled", "in_transit")
    for _ in range(3):
        assert await look(warehouse, order_id) == ["ShipmentSent", "ShipmentFailed"]
    assert (await warehouse.said(order_id))[-1].reason == "shipment canceled"


@pytest.mark.requirement("R-4.6", "S-10", "S-21")
async def test_units_that_are_sent_again_are_told_as_such_and_count_once(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id, external_id = await submitted(warehouse)
    items = (await warehouse.ledger(order_id)).orders[0].items
    await warehouse.provider.printful.ship(external_id, dict.fromkeys(items, 1))
    await warehouse.provider.printful.mark(external_id, "shipped", "failure")
    assert await look(warehouse, order_id) == ["ShipmentSent", "ShipmentFailed"]
    fetch = warehouse.context.provider.fetch

    async def with_another(name: str) -> dict[str, Any] | None:
        answer = await fetch(name)
        assert answer is not None
        (lost,) = answer["parcels"]
        second = {**lost, "id": lost["id"] + 1, "delivery_status": "in_transit", "is_reshipment": True}
        return {**answer, "parcels": [second, lost]}

    monkeypatch.setattr(warehouse.context.provider, "fetch", with_another)
    for _ in range(2):
        assert (await look(warehouse, order_id))[2:] == ["ShipmentSent"]
    first, _, second = (await warehouse.said(order_id))[1:]
    assert (list(first.resent), second.resent, second.lines) == ([], first.lines, first.lines)
    assert await warehouse.state(order_id) == "SUBMITTED"  # the other mug is still to come


@pytest.mark.requirement("R-4.6")
async def test_a_word_that_nobody_knows_moves_nothing_and_a_person_is_told_once(warehouse: Warehouse) -> None:
    order_id, external_id = await submitted(warehouse)
    await warehouse.provider.printful.pack(external_id)
    await warehouse.provider.printful.mark(external_id, "teleported\x00", "delivered")
    for _ in range(3):
        assert await look(warehouse, order_id) == []
    assert await warehouse.state(order_id) == "SUBMITTED"
    assert await warehouse.incidents() == ["provider_word_unknown"]
    word = await warehouse.database.fetchval("SELECT details ->> 'word' FROM incidents")
    assert word == r"shipment_status: 'teleported\x00'"
    await warehouse.provider.printful.mark(external_id, "shipped", "pondering")
    assert await look(warehouse, order_id) == ["ShipmentSent"]  # that it left is known, only its whereabouts are not
    assert await warehouse.incidents() == ["provider_word_unknown"] * 2


@pytest.mark.requirement("R-4.6", "R-5.6")
async def test_a_word_that_a_person_has_decided_about_is_not_told_at_the_next_look(warehouse: Warehouse) -> None:
    order_id, external_id = await submitted(warehouse)
    await warehouse.provider.printful.ship(external_id)
    await warehouse.provider.printful.mark(external_id, "shipped", "pondering")
    assert await look(warehouse, order_id) == ["ShipmentSent"]
    async with warehouse.database.transaction() as tx:
        (incident,) = await incidents.list_open(tx)
        await incidents.resolve(tx, incident.id, "asked the provider", "ada")
    await look(warehouse, order_id)
    assert await warehouse.incidents() == []
    await warehouse.provider.printful.mark(external_id, "shipped", "wondering")
    await look(warehouse, order_id)
    assert await warehouse.incidents() == ["provider_word_unknown"]


@pytest.mark.requirement("R-4.6")
@pytest.mark.parametrize(
    ("shipment", "delivery", "state"),
    [
        ("canceled", "unknown", None),
        ("packaged", "in_transit", None),
        (None, None, None),
        ("shipped", None, ShipmentState.SENT),
        ("shipped", "unknown", ShipmentState.SENT),
        ("shipped", "out_for_delivery", ShipmentState.SENT),
        ("shipped", "available_for_pickup", ShipmentState.SENT),
        ("shipped", "return_to_sender", ShipmentState.RETURNED),
        ("returned", "delivered", ShipmentState.RETURNED),
    ],
)
def test_what_left_follows_from_the_shipment_and_what_became_of_it_from_the_delivery(
    shipment: str | None, delivery: str | None, state: ShipmentState | None
) -> None:
    parcel = {"shipment_status": shipment, "delivery_status": delivery}
    assert printful_words.parcel_state(parcel) is state
