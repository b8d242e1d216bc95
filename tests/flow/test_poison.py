"""Proof 8: an event that cannot be applied holds up its own key and no other, and what waited is applied in order."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.chassis.consumer import KEY_PARKED, inspect, list_parked, redrive
from services.chassis.db import Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.orders.events import CONSUMER
from tests.flow.laws import breaches
from tests.flow.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPIC = "onefold.payments.v1"


class Buggy:
    """The handler of orders in a release that cannot read money facts of some orders."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.cannot_read: set[str] = set()

    async def __call__(self, tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        for event in events:
            if event.key in self.cannot_read and event.topic == TOPIC:
                raise ValueError(f"unknown field in {event.type}")
        outcomes: Mapping[str, Outcome] = await self.handler(tx, events)
        return outcomes


@pytest.mark.requirement("S-27", "S-26", "S-25", "S-1")
async def test_a_poison_event_waits_and_the_others_go_on(shop: Shop) -> None:
    await shop.stocked("MUG", 10)
    orders = shop.nodes["orders"]
    applier = orders.consumer._applier
    bug = applier._handler = Buggy(applier._handler)
    sick, healthy = await shop.order(MUG=1), await shop.order(MUG=1)
    await shop.settle()
    sick_id, healthy_id = sick.order.order_id, healthy.order.order_id
    bug.cannot_read = {sick_id}

    assert await shop.pay(sick, "pm_card_chargeDeclined") == "requires_payment_method"
    await shop.settle()
    for each in (sick, healthy):
        await shop.pay(each)
    await shop.settle()
    await shop.pass_time(minutes=31)  # a job must not expire an order whose money is parked
    await shop.settle()

    assert (await shop.state(sick_id), await shop.state(healthy_id)) == ("PENDING", "PROCESSING")
    assert [(each.topic, each.key) for each in await list_parked(orders.database, CONSUMER)] == [(TOPIC, sick_id)]
    async with orders.database.transaction() as tx:
        waiting = await inspect(tx, CONSUMER, TOPIC, sick_id)
    kinds = [each.event.type.rpartition(".")[2] for each in waiting if each.event]
    assert kinds == ["PaymentFailed", "PaymentCaptured", "PaymentSucceeded"]
    assert [each.offset for each in waiting] == sorted(each.offset for each in waiting)
    assert [bool(each.reason) for each in waiting] == [True, False, False]
    incidents = await shop.rows("orders", "SELECT kind, order_id FROM incidents WHERE state = 'OPEN'")
    assert [row["kind"] for row in incidents] == [KEY_PARKED]

    still = await redrive(orders.database, CONSUMER, TOPIC, sick_id, bug)
    assert still.parked and "unknown field" in still.failure
    assert await shop.state(sick_id) == "PENDING"
    bug.cannot_read = set()  # the next release
    redriven = await redrive(orders.database, CONSUMER, TOPIC, sick_id, bug)
    await shop.settle()

    assert not redriven.failure and list(redriven.outcomes.values()) == [Outcome.APPLIED] * 3
    assert await shop.state(sick_id) == "PROCESSING"
    said = [event.kind for event in await shop.events("orders") if event.key == sick_id]
    assert said.index("OrderPaymentFailed") < said.index("OrderConfirmed")
    # Its time to pay was over when the failure was applied, so orders had asked to cancel when the money came.
    assert await breaches(shop, incidents=["money_after_cancellation"]) == []
