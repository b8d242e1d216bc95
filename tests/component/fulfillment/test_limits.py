"""The provider's limit of calls: what it refuses because of it says nothing about an order, and old parcels ask less.

Why: 120 calls a minute are for all orders (F-18); none may fail, and none may wait, because of the number of others.
"""

from datetime import timedelta
from typing import Any

import pytest
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.ids import new_id
from services.chassis.operations import Operation, Retryable, Unknown
from services.fulfillment.domain import Kind
from services.fulfillment.jobs import WATCH_BATCH
from tests.component.fulfillment.warehouse import Warehouse, of


async def limit(warehouse: Warehouse, order_id: str, operation: str, times: int) -> None:
    """The next calls about the order are one too many."""
    name = warehouse.external_id(order_id)
    await warehouse.provider.faults.api(
        vendor="printful", operation=operation, kind="rate_limit", order_id=name, times=times
    )


async def hinted(warehouse: Warehouse, orders: int) -> list[str]:
    """Orders that were submitted, each of which the provider has just said something about."""
    order_ids = [new_id() for _ in range(orders)]
    for order_id in order_ids:
        await warehouse.request(order_id)
    await warehouse.work()
    for order_id in order_ids:
        await warehouse.hint(order_id)
    return order_ids


@pytest.mark.requirement("R-4.7", "S-15")
async def test_calls_over_the_limit_cost_no_try_and_are_repeated_when_the_provider_said(warehouse: Warehouse) -> None:
    order_id = new_id()
    await limit(warehouse, order_id, "orders.create", 20)
    await warehouse.request(order_id)
    await warehouse.work()
    for _ in range(20):
        assert await warehouse.names(order_id) == []
        await warehouse.pass_time(seconds=1)  # what its Retry-After says
    assert await warehouse.names(order_id) == ["FulfillmentSubmitted"]
    assert await warehouse.incidents() == []
    assert await warehouse.database.fetchval("SELECT max(number) FROM operations") == 2  # one create, one confirm


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize("operation", ["orders.get", "shipments.list"])
async def test_a_look_over_the_limit_says_when_to_come_again(warehouse: Warehouse, operation: str) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    await limit(warehouse, order_id, operation, 1)
    with pytest.raises(Retryable) as refusal:
        await warehouse.context.provider.fetch(warehouse.external_id(order_id))
    assert refusal.value.after == timedelta(seconds=1)


@pytest.mark.requirement("S-10")
async def test_a_confirm_over_the_limit_is_taken_back_by_a_cancellation(warehouse: Warehouse) -> None:
    order_id = new_id()
    await limit(warehouse, order_id, "orders.confirm", 1)
    request_id = await warehouse.request(order_id)
    await warehouse.work()
    assert await warehouse.cancel(order_id, request_id) == ["APPLIED"]
    await warehouse.work()  # without waiting for what the provider said
    assert await warehouse.names(order_id) == ["FulfillmentCancelled"]
    await warehouse.pass_time(minutes=5)
    ledger = await warehouse.ledger(order_id)
    assert (ledger.times_charged, ledger.status) == (0, "canceled")


@pytest.mark.requirement("S-23")
async def test_a_confirm_over_the_limit_is_taken_back_by_a_hold(warehouse: Warehouse) -> None:
    order_id = new_id()
    await limit(warehouse, order_id, "orders.confirm", 1)
    await warehouse.request(order_id)
    await warehouse.work()
    assert await hold(warehouse, order_id) == ["APPLIED"]
    await warehouse.pass_time(minutes=5)
    assert (await warehouse.names(order_id), await warehouse.state(order_id)) == (["FulfillmentHeld"], "HELD")
    assert (await warehouse.ledger(order_id)).times_charged == 0
    await warehouse.hear(orders_pb2.FulfillmentResumeRequested(context=of(order_id), request_id="hold-1:resume"))
    await warehouse.work()
    assert await warehouse.names(order_id) == ["FulfillmentHeld", "FulfillmentResumed", "FulfillmentSubmitted"]
    assert (await warehouse.ledger(order_id)).times_charged == 1


@pytest.mark.requirement("S-23")
async def test_a_confirm_that_was_perhaps_executed_is_too_late_to_be_held(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    send = warehouse.context.provider.send

    async def cut_off(operation: Operation) -> dict[str, Any]:
        answer = await send(operation)
        if operation.kind == Kind.CONFIRM:
            raise Unknown("cut off")
        return answer

    monkeypatch.setattr(warehouse.context.provider, "send", cut_off)
    await warehouse.request(order_id)
    await warehouse.work()
    assert await hold(warehouse, order_id) == ["APPLIED"]
    await warehouse.pass_time(minutes=5)
    assert await warehouse.names(order_id) == ["FulfillmentHoldRefused", "FulfillmentSubmitted"]


@pytest.mark.requirement("S-22")
async def test_the_longer_nothing_is_new_the_less_is_asked_and_in_the_end_a_person_is_told(
    warehouse: Warehouse,
) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    looks, told = [0] * 62, []
    for day in range(62):
        for _ in range(24):
            warehouse.clock.advance(timedelta(hours=1))
            looks[day] += await warehouse.jobs.watch()
        told.append(await warehouse.incidents())
    assert told == [[]] * 60 + [["nothing_new_at_provider"]] * 2  # counted from the sight of the parcel
    assert looks[0] <= 12
    assert sum(looks[:7]) <= 24
    assert all(1 <= each <= 2 for each in looks[7:60])
    warehouse.clock.advance(timedelta(days=30))
    assert await warehouse.jobs.watch() == 0
    await warehouse.provider.printful.deliver(warehouse.external_id(order_id))
    await warehouse.hint(order_id, "shipment_delivered")
    await warehouse.work()
    assert (await warehouse.names(order_id))[-1] == "ShipmentDelivered"


@pytest.mark.requirement("S-22")
async def test_news_make_it_watched_closely_again(warehouse: Warehouse) -> None:
    order_id = new_id()
    await warehouse.request(order_id)
    await warehouse.work()
    warehouse.clock.advance(timedelta(days=59))
    assert await warehouse.jobs.watch() == 1
    warehouse.clock.advance(timedelta(days=2))
    await warehouse.provider.printful.ship(warehouse.external_id(order_id))
    assert await warehouse.jobs.watch() == 1  # too old to be watched on, had the parcel not left meanwhile
    assert (await warehouse.names(order_id))[-1] == "ShipmentSent"
    assert await warehouse.incidents() == []
    warehouse.clock.advance(warehouse.context.watch_every)
    assert await warehouse.jobs.watch() == 1


@pytest.mark.requirement("S-22")
async def test_the_watch_takes_only_a_share_of_the_calls(warehouse: Warehouse) -> None:
    order_ids = [new_id() for _ in range(WATCH_BATCH + 2)]
    for order_id in order_ids:
        await warehouse.request(order_id)
    await warehouse.work()
    warehouse.clock.advance(timedelta(hours=2))
    (job,) = [job for job in warehouse.jobs.all() if job.name == "fulfillment-watch"]
    assert await job.run_once() == 0  # not at once again, though some are left
    assert job.interval >= timedelta(minutes=1)
    assert await warehouse.jobs.watch() == 2


@pytest.mark.requirement("S-22", "R-5.6")
async def test_hints_that_come_to_nothing_stand_before_no_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.jobs._limit = 3
    bad, good = [new_id() for _ in range(3)], new_id()
    for order_id in (*bad, good):
        await warehouse.request(order_id)
    await warehouse.work()
    asked = break_objects(warehouse, monkeypatch, bad, Unknown("500: for this\0object"))
    await warehouse.provider.printful.ship(warehouse.external_id(good))
    for order_id in (*bad, good):
        warehouse.clock.advance(timedelta(seconds=1))
        await warehouse.hint(order_id)
    await warehouse.work()
    assert (await warehouse.names(good))[-1] == "ShipmentSent"
    assert len(asked) == 3  # each was tried once, and waits for its next time
    for _ in range(48):
        await warehouse.pass_time(hours=1)
    assert len(asked) == 3 * (len(warehouse.context.rules.pauses) + 1)
    assert await warehouse.incidents() == ["provider_object_not_applied"] * 3
    assert await warehouse.database.fetchval("SELECT count(*) FROM webhooks WHERE processed_at IS NULL") == 0


@pytest.mark.requirement("S-22")
async def test_hints_over_the_limit_wait_as_long_as_the_provider_said_and_lose_no_try(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_ids = await hinted(warehouse, 30)
    asked = break_objects(warehouse, monkeypatch, order_ids, Retryable("429", after=timedelta(seconds=40)))
    for _ in range(20):
        await warehouse.pass_time(seconds=41)
    assert len(asked) < 20 * len(order_ids)  # after the first refusal the others of that run are not asked for
    assert await warehouse.database.fetchval("SELECT sum(tries) FROM webhooks WHERE processed_at IS NULL") == 0
    monkeypatch.undo()
    await warehouse.pass_time(seconds=41)
    assert await warehouse.database.fetchval("SELECT count(*) FROM webhooks WHERE outcome = 'applied'") == 30
    assert await warehouse.incidents() == []


@pytest.mark.requirement("S-22", "R-4.7")
async def test_after_a_refused_look_nothing_is_looked_at_until_the_provider_said_and_then_one_object_first(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.jobs._limit = 3
    order_ids = await hinted(warehouse, 9)
    asked = break_objects(warehouse, monkeypatch, order_ids, Retryable("429", after=timedelta(seconds=40)))
    await warehouse.work()
    assert len(asked) <= 3
    for _ in range(2):
        asked.clear()
        await warehouse.pass_time(seconds=39)
        assert asked == []
        await warehouse.pass_time(seconds=2)
        assert len(asked) == 1
    monkeypatch.undo()
    await warehouse.pass_time(seconds=41)
    assert await warehouse.database.fetchval("SELECT count(*) FROM webhooks WHERE outcome = 'applied'") == 9


async def hold(warehouse: Warehouse, order_id: str) -> list[str]:
    """Orders asks to hold it."""
    request = orders_pb2.FulfillmentHoldRequested(context=of(order_id), request_id="hold-1", reason="dispute")
    return await warehouse.hear(request)


def break_objects(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, order_ids: list[str], error: Exception
) -> list[str]:
    """The provider answers so for these orders; the names that it was asked for."""
    provider, asked = warehouse.context.provider, list[str]()
    fetch = provider.fetch
    broken = {warehouse.external_id(order_id) for order_id in order_ids}

    async def answer(external_id: str) -> dict[str, Any] | None:
        if external_id in broken:
            asked.append(external_id)
            raise error
        return await fetch(external_id)

    monkeypatch.setattr(provider, "fetch", answer)
    return asked
