"""Facts of the partners move an order once, in order, with history, events and incidents in one transaction."""

import asyncio
from typing import Any

import asyncpg
import pytest
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.inventory.v1 import inventory_events_pb2, inventory_pb2
from onefold.orders.v1 import orders_pb2
from onefold.payments.v1 import payments_events_pb2

from services.chassis.ids import new_id
from services.chassis.testing import hear, incoming, said, wait_until
from services.orders.events import CONSUMER, EventsDoor
from services.orders.store import roots
from tests.component.orders.shop import Shop, context, paid, snapshot, units


@pytest.fixture
async def order(shop: Shop) -> orders_pb2.Order:
    await shop.stocked("MUG", 10)
    return await shop.order(MUG=2)


def sent(order: orders_pb2.Order, shipment: str = "parcel", version: int = 1) -> fulfillment_events_pb2.ShipmentSent:
    return fulfillment_events_pb2.ShipmentSent(
        context=context(order.order_id, version),
        shipment_id=shipment,
        request_id=f"{order.order_id}:fulfil:1",
        round=1,
        carrier="FedEx",
        tracking_number="T1",
        tracking_url="https://track.example/T1",
        lines=units(order),
    )


def delivered(order: orders_pb2.Order, shipment: str = "parcel") -> fulfillment_events_pb2.ShipmentDelivered:
    return fulfillment_events_pb2.ShipmentDelivered(
        context=context(order.order_id, 2),
        shipment_id=shipment,
        request_id=f"{order.order_id}:fulfil:1",
        round=1,
        lines=units(order),
    )


@pytest.mark.requirement("R-2.3", "R-2.4", "S-1", "S-2", "R-5.2")
async def test_the_road_from_paid_to_delivered(shop: Shop, order: orders_pb2.Order) -> None:
    await shop.hear(paid(order))
    await shop.carry()
    outcomes = await shop.hear(sent(order), delivered(order))

    found = await shop.get(order.order_id)
    assert outcomes == ["APPLIED", "APPLIED"]
    assert [orders_pb2.OrderState.Name(each.to_state).removeprefix("ORDER_STATE_") for each in found.history] == [
        "PENDING",
        "CONFIRMED",
        "PROCESSING",
        "SHIPPED",
        "DELIVERED",
    ]
    assert all(
        after.from_state == before.to_state for before, after in zip(found.history, found.history[1:], strict=False)
    )
    assert [each.actor for each in found.history] == ["customer", "payments", "inventory", "fulfillment", "fulfillment"]
    assert all(each.caused_by for each in found.history)
    (parcel,) = found.parcels
    assert (parcel.carrier, parcel.tracking_number, list(parcel.lines)) == ("FedEx", "T1", units(order))
    assert parcel.sent_at == parcel.delivered_at == context("").occurred_at
    assert found.lines[0].shipped == 2 and found.payment.verdict == orders_pb2.PAYMENT_VERDICT_PAID
    assert list(found.provider_object_ids) == [f"pi_{order.order_id}"]
    events: list[Any] = await said(shop.database, order.order_id)
    assert [event.DESCRIPTOR.name for event in events] == [
        "OrderCreated",
        "OrderConfirmed",
        "StockCommitRequested",
        "OrderProcessing",
        "FulfillmentRequested",
        "OrderShipped",
        "StockShipRequested",
        "OrderDelivered",
    ]
    versions = [event.context.version for event in events]
    assert versions == sorted(versions) and found.version == versions[-1]


@pytest.mark.requirement("R-2.5", "S-3", "S-25")
async def test_two_racing_facts_change_an_order_once(shop: Shop, order: orders_pb2.Order) -> None:
    fact = paid(order)
    fact.provider_object_id = ""  # nothing but the root makes them wait for each other
    async with shop.database.transaction() as holder:
        await roots.lock_only(holder, [order.order_id])
        racing = [asyncio.create_task(shop.hear(fact)) for _ in range(5)]
        await _until_somebody_waits(shop, len(racing))
    results = await asyncio.gather(*racing)
    assert sorted(outcome for (outcome,) in results) == ["APPLIED"] + 4 * ["STALE"]
    assert (await shop.said(order.order_id)).count("OrderConfirmed") == 1
    assert len((await shop.get(order.order_id)).history) == 2


@pytest.mark.requirement("R-5.1", "S-25")
async def test_an_event_delivered_twice_counts_once(shop: Shop, order: orders_pb2.Order) -> None:
    event = incoming(paid(order), key=order.order_id)
    assert len(await shop.apply([event, event])) == 1
    assert await shop.apply([event]) == {}
    assert (await shop.said(order.order_id)).count("OrderConfirmed") == 1


@pytest.mark.requirement("S-3")
async def test_what_a_waiting_fact_reads_is_as_it_is_after_the_wait(shop: Shop, order: orders_pb2.Order) -> None:
    """The rival ships the units while the fact waits for the root: units and history are those after the rival."""
    await shop.hear(paid(order))
    await shop.carry()
    door = EventsDoor(shop.clock, shop.settings.policies)
    async with shop.database.transaction() as rival:
        await roots.lock_only(rival, [order.order_id])
        waiting = asyncio.create_task(
            hear(shop.database, CONSUMER, door, [incoming(delivered(order), key=order.order_id)])
        )
        await _until_somebody_waits(shop)
        await door(rival, [incoming(sent(order), key=order.order_id)])
    assert [each.value for each in (await waiting).values()] == ["APPLIED"]
    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_DELIVERED and found.lines[0].shipped == 2
    assert (await shop.said(order.order_id)).count("OrderShipped") == 1


async def _until_somebody_waits(shop: Shop, waiters: int = 1) -> None:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def all_wait() -> bool:
        return bool(await shop.database.fetchval(sql) >= waiters)

    await wait_until(all_wait)


@pytest.mark.requirement("R-1.1")
async def test_a_payment_belongs_to_one_order(shop: Shop, order: orders_pb2.Order) -> None:
    other = await shop.order(MUG=1)
    stolen = paid(other)
    stolen.provider_object_id = "pi_1"
    first = paid(order)
    first.provider_object_id = "pi_1"
    assert await shop.hear(first, stolen) == ["APPLIED", "CONTRADICTION"]
    assert (await shop.get(other.order_id)).state == orders_pb2.ORDER_STATE_PENDING
    assert await shop.incidents() == ["payment_of_another_order"]
    with pytest.raises(asyncpg.UniqueViolationError):
        await shop.database.fetch(
            "INSERT INTO order_payments (provider_object_id, order_id, added_at) VALUES ('pi_1', $1, now())",
            other.order_id,
        )


@pytest.mark.requirement("S-25", "S-1")
async def test_every_event_has_an_outcome(shop: Shop, order: orders_pb2.Order) -> None:
    nobody = new_id()
    lapsed = inventory_events_pb2.StockReleased(context=context(nobody), reason="lapsed")
    changed = inventory_events_pb2.StockReserved(context=context(nobody))
    lost = paid(orders_pb2.Order(order_id=nobody))
    level = inventory_events_pb2.StockLow(context=inventory_events_pb2.LevelContext(sku="MUG"))
    events = [incoming(each, key=nobody) for each in (lapsed, changed, lost)]
    outcomes = await shop.apply([*events, incoming(level, key="MUG")])
    assert [each.value for each in outcomes.values()] == ["IGNORED", "IGNORED", "CONTRADICTION", "IGNORED"]
    assert await shop.incidents() == ["order_not_found"]
    assert await shop.count("inbox") == 4


@pytest.mark.requirement("R-1.14", "R-1.15")
async def test_a_late_failure_never_overwrites_a_success(shop: Shop, order: orders_pb2.Order) -> None:
    failed = payments_events_pb2.PaymentFailed(
        context=context(order.order_id, 1), snapshot=snapshot(order, "FAILED"), provider_object_id="pi_1"
    )
    assert await shop.hear(paid(order), failed) == ["APPLIED", "STALE"]
    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_CONFIRMED
    assert found.payment.verdict == orders_pb2.PAYMENT_VERDICT_PAID


@pytest.mark.requirement("R-2.9")
async def test_a_failed_payment_leaves_the_order_payable(shop: Shop, order: orders_pb2.Order) -> None:
    failed = payments_events_pb2.PaymentFailed(
        context=context(order.order_id, 2), snapshot=snapshot(order, "FAILED"), provider_object_id="pi_1"
    )
    assert await shop.hear(failed) == ["APPLIED"]
    assert (await shop.get(order.order_id)).state == orders_pb2.ORDER_STATE_PENDING
    assert (await shop.said(order.order_id))[-1] == "OrderPaymentFailed"


@pytest.mark.requirement("S-20", "R-3.8")
async def test_a_line_shows_where_it_ships_from_after_a_new_choice(shop: Shop, order: orders_pb2.Order) -> None:
    await shop.hear(paid(order))
    committed = inventory_events_pb2.StockCommitted(
        context=context(order.order_id, 5),
        request_id=f"{order.order_id}:commit:1",
        round=1,
        lines=units(order),
        locations=[inventory_pb2.LineLocation(line=1, location="leeds")],
    )
    assert await shop.hear(committed) == ["APPLIED"]
    assert (await shop.get(order.order_id)).lines[0].location == "leeds"


@pytest.mark.requirement("S-3", "S-4")
async def test_batches_with_the_same_orders_in_other_sequence_do_not_deadlock(shop: Shop) -> None:
    await shop.stocked("MUG", 100)
    orders = [await shop.order(MUG=1) for _ in range(6)]
    there, back = [paid(each) for each in orders], [paid(each) for each in reversed(orders)]
    first, second = await asyncio.gather(shop.hear(*there), shop.hear(*back))
    assert sorted([*first, *second]) == 6 * ["APPLIED"] + 6 * ["STALE"]


@pytest.mark.requirement("S-26")
async def test_an_unknown_number_of_an_enum_fails_its_key(shop: Shop, order: orders_pb2.Order) -> None:
    strange = paid(order)
    strange.snapshot.verdict = 99  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unknown Verdict 99"):
        await shop.hear(strange)
    assert (await shop.get(order.order_id)).version == order.version


@pytest.mark.requirement("S-19")
async def test_a_parcel_that_cannot_be_is_a_contradiction(shop: Shop, order: orders_pb2.Order) -> None:
    assert await shop.hear(sent(order)) == ["CONTRADICTION"]
    assert await shop.incidents() == ["contradiction"]
    assert len((await shop.get(order.order_id)).parcels) == 0


@pytest.mark.requirement("S-21", "R-4.6")
async def test_two_parcels_are_told_once_each(shop: Shop, order: orders_pb2.Order) -> None:
    await shop.hear(paid(order))
    await shop.carry()
    one, two = sent(order, "one"), sent(order, "two", 2)
    for each in (one, two):
        del each.lines[:]
        each.lines.append(common_pb2.LineQuantity(line=1, sku="MUG", quantity=1))
    assert await shop.hear(one, one, two) == ["APPLIED", "STALE", "APPLIED"]
    assert (await shop.said(order.order_id)).count("OrderShipped") == 2
    assert [each.shipment_id for each in (await shop.get(order.order_id)).parcels] == ["one", "two"]


@pytest.mark.requirement("S-21", "S-19")
async def test_a_parcel_that_is_sent_again_counts_once(shop: Shop, order: orders_pb2.Order) -> None:
    await shop.hear(paid(order))
    await shop.carry()
    lost = fulfillment_events_pb2.ShipmentFailed()
    lost.MergeFromString(delivered(order).SerializeToString())
    again = sent(order, "again", 3)
    again.resent.extend(units(order))
    for offset, event in enumerate((sent(order), lost, again, delivered(order, "again"))):
        assert await shop.hear(event, offset=offset) == ["APPLIED"]
    found = await shop.get(order.order_id)
    assert (found.state, found.lines[0].shipped) == (orders_pb2.ORDER_STATE_DELIVERED, 2)
    assert [parcel.HasField("delivered_at") for parcel in found.parcels] == [False, True]
    told = await shop.said(order.order_id)
    assert (told.count("StockShipRequested"), told.count("OrderShipped"), told[-1]) == (1, 2, "OrderShipped")
    assert await shop.incidents() == ["parcel_lost"]


@pytest.mark.requirement("S-21", "S-26")
async def test_a_parcel_that_another_order_has_is_not_moved(shop: Shop, order: orders_pb2.Order) -> None:
    """The event is poison: its key is parked, and a person looks."""
    other = await shop.order(MUG=1)
    await shop.hear(paid(order), paid(other))
    await shop.carry()
    await shop.hear(sent(order))
    with pytest.raises(roots.ParcelOfAnotherOrder):
        await shop.hear(sent(other), delivered(other), offset=2)
    assert not (await shop.get(order.order_id)).parcels[0].HasField("delivered_at")
