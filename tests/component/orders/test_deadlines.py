"""What time asks of orders: each deadline once, without locks while picking, and never over parked events."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from onefold.inventory.v1 import inventory_events_pb2
from onefold.orders.v1 import orders_pb2
from onefold.payments.v1 import payments_events_pb2

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.orders.domain import StockShortagePolicy
from services.orders.store import reading
from services.orders.usecases.deadlines import tick_orders
from tests.component.orders.shop import Shop, context, open_shop, paid, snapshot
from tests.component.orders.test_cancelling import settled

PARK = "INSERT INTO parked_keys (consumer, topic, key, reason) VALUES ('orders', 'onefold.payments.v1', $1, 'poison')"


async def unpaid(shop: Shop) -> orders_pb2.Order:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    shop.clock.advance(timedelta(milliseconds=shop.settings.payable_ms))
    return order


@pytest.mark.requirement("R-2.12", "S-8", "S-11")
async def test_an_unpaid_order_expires_after_payments_has_ended_its_attempts(shop: Shop) -> None:
    order = await unpaid(shop)
    assert await shop.jobs.keep_deadlines() == 1
    assert await shop.jobs.keep_deadlines() == 0
    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_PENDING
    assert found.cancellation_reason == orders_pb2.CANCELLATION_REASON_EXPIRED
    assert await shop.open_holds() == 1  # stock goes back only after payments has ended what could be paid

    await shop.hear(settled(order))
    await shop.carry()
    assert (await shop.get(order.order_id)).state == orders_pb2.ORDER_STATE_CANCELLED
    assert (await shop.available("MUG"), await shop.open_holds()) == (5, 0)


@pytest.mark.requirement("R-2.12")
async def test_the_deadline_runs_from_the_last_attempt(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    shop.clock.advance(timedelta(milliseconds=shop.settings.payable_ms - 1_000))
    attempt = payments_events_pb2.PaymentCreated(
        context=context(order.order_id, 1, shop.clock.now()), snapshot=snapshot(order, "UNPAID")
    )
    await shop.hear(attempt)
    shop.clock.advance(timedelta(seconds=2))
    assert await shop.jobs.keep_deadlines() == 0
    shop.clock.advance(timedelta(milliseconds=shop.settings.payable_ms))
    assert await shop.jobs.keep_deadlines() == 1


@pytest.mark.requirement("S-27")
async def test_an_order_with_parked_events_does_not_expire(shop: Shop) -> None:
    order = await unpaid(shop)
    await shop.database.fetch(PARK, order.order_id)
    assert await shop.jobs.keep_deadlines() == 0
    await shop.database.fetch("DELETE FROM parked_keys")
    assert await shop.jobs.keep_deadlines() == 1


@pytest.mark.requirement("S-27", "S-4")
async def test_a_key_that_is_parked_after_its_order_was_picked_is_left_alone(shop: Shop) -> None:
    order = await unpaid(shop)
    now = shop.clock.now()
    due = await reading.due(shop.database, now, "orders", 10)
    await shop.database.fetch(PARK, order.order_id)
    await shop.database.run(lambda tx: tick_orders(tx, due, now, shop.settings.policies))
    assert (await shop.get(order.order_id)).cancellation == orders_pb2.CANCELLATION_STATE_NONE
    assert await shop.database.fetchval("SELECT count(*) FROM idempotency_keys WHERE method = 'Deadline'") == 0
    await shop.database.fetch("DELETE FROM parked_keys")
    assert await shop.jobs.keep_deadlines() == 1


@pytest.mark.requirement("S-29", "R-2.5")
async def test_a_deadline_that_two_jobs_picked_has_its_say_once(shop: Shop) -> None:
    order = await unpaid(shop)
    now = shop.clock.now()
    due = await reading.due(shop.database, now, "orders", 10)

    async def tick() -> int:
        return await shop.database.run(lambda tx: tick_orders(tx, due, now, shop.settings.policies))

    assert sorted(await asyncio.gather(tick(), tick(), tick())) == [0, 0, 1]
    assert await tick() == 0  # the commit's answer was lost, and the job repeats what it had picked
    assert (await shop.said(order.order_id)).count("PaymentCancellationRequested") == 1


@pytest.mark.requirement("R-2.12", "R-1.16", "R-2.5")
async def test_money_that_wins_the_race_is_honoured(shop: Shop) -> None:
    order = await unpaid(shop)
    now = shop.clock.now()
    due = await reading.due(shop.database, now, "orders", 10)
    await shop.hear(paid(order))
    await shop.database.run(lambda tx: tick_orders(tx, due, now, shop.settings.policies))
    found = await shop.get(order.order_id)
    assert found.state == orders_pb2.ORDER_STATE_CONFIRMED
    assert found.cancellation == orders_pb2.CANCELLATION_STATE_NONE


@pytest.mark.requirement("S-17", "R-1.15")
async def test_a_deadline_that_changes_nothing_is_looked_at_once(shop: Shop) -> None:
    """Money that differs waits for a person: the order stays, and the job does not pick it for ever."""
    await shop.stocked("MUG", 5)
    order = await shop.order(MUG=2)
    differs = payments_events_pb2.PaymentMismatched(
        context=context(order.order_id, 3), snapshot=snapshot(order, "MISMATCHED", 1)
    )
    await shop.hear(differs)
    shop.clock.advance(timedelta(milliseconds=shop.settings.payable_ms))
    await shop.jobs.keep_deadlines()
    assert await reading.due(shop.database, shop.clock.now(), "orders", 10) == []
    assert (await shop.get(order.order_id)).state == orders_pb2.ORDER_STATE_PENDING


@pytest.mark.requirement("R-1.16", "S-20", "S-9")
async def test_a_backorder_ends_at_its_deadline(emptied: Callable[[str], Access], clock: ManualClock) -> None:
    async with open_shop(emptied, clock, stock_shortage=StockShortagePolicy.BACKORDER) as shop:
        await shop.stocked("MUG", 2)
        order = await shop.order(MUG=2)
        await shop.hear(paid(order))
        gone = inventory_events_pb2.StockUnavailable(
            context=context(order.order_id, 3), request_id=f"{order.order_id}:commit:1", round=1
        )
        assert await shop.hear(gone) == ["APPLIED"]
        assert (await shop.said(order.order_id))[-1] == "OrderBackordered"
        shop.clock.advance(timedelta(milliseconds=shop.settings.backorder_ms))
        assert await shop.jobs.keep_deadlines() == 1
        found = await shop.get(order.order_id)
        assert found.cancellation_reason == orders_pb2.CANCELLATION_REASON_STOCK

        shop.clock.advance(timedelta(milliseconds=shop.settings.cancellation_alarm_ms))
        assert await shop.jobs.keep_deadlines() == 1  # nobody answered
        assert "cancellation_waits" in await shop.incidents()


@pytest.mark.requirement("S-26", "R-2.12")
async def test_an_order_that_cannot_be_decided_on_holds_up_no_other(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    broken, sound = await shop.order(MUG=1), await shop.order(MUG=1)
    await shop.database.fetch("UPDATE orders SET progress = '{\"refunds\": 7}' WHERE order_id = $1", broken.order_id)
    shop.clock.advance(timedelta(milliseconds=shop.settings.payable_ms))
    assert await shop.jobs.keep_deadlines() == 1
    assert (await shop.get(sound.order_id)).cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED
    assert await shop.incidents() == ["deadline_failed"]

    assert await reading.due(shop.database, shop.clock.now(), "orders", 10) == []  # it stands before no other
    shop.clock.advance(timedelta(milliseconds=shop.settings.deadline_retry_ms))
    assert [each.order_id for each in await reading.due(shop.database, shop.clock.now(), "orders", 10)] == [
        broken.order_id
    ]


@pytest.mark.requirement("S-29", "R-2.12")
async def test_a_later_deadline_of_an_order_that_did_not_change_is_kept(shop: Shop) -> None:
    order = await unpaid(shop)
    later = shop.clock.now() + timedelta(minutes=1)
    await shop.database.fetch("UPDATE orders SET payable_until = $1", later)  # as if time had asked too early
    assert await shop.jobs.keep_deadlines() == 1
    assert (await shop.get(order.order_id)).version == order.version
    await shop.database.fetch("UPDATE orders SET due_at = payable_until")
    shop.clock.advance(timedelta(minutes=1))
    assert await shop.jobs.keep_deadlines() == 1
    assert (await shop.get(order.order_id)).cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED
