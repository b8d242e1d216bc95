"""Proof 6: whatever the order in which Stripe's events of one intent arrive, the end is the same."""

import asyncio
from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from tests.flow.laws import breaches
from tests.flow.shop import THOROUGH, TIMEOUT_S, Shop, wanted

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDED = (
    "payment_intent.created",
    "charge.failed",
    "payment_intent.payment_failed",
    "charge.succeeded",
    "payment_intent.succeeded",
)


async def recorded(shop: Shop, order_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Order id -> Stripe's events about it, as they happened."""
    told: dict[str, list[dict[str, Any]]] = {order_id: [] for order_id in order_ids}
    for event in await shop.stripe_events():
        order_id = event["data"]["object"].get("metadata", {}).get("order_id")
        if order_id in told:
            told[order_id].append(event)
    return told


def ways_to_arrive() -> list[tuple[int, ...]]:
    """Places of the recorded events in the order of their arrival; the first, which tells nothing, only if thorough."""
    if THOROUGH:
        return list(permutations(range(len(RECORDED))))
    return [(0, *way) for way in permutations(range(1, len(RECORDED)))]


@pytest.mark.requirement("R-1.14", "S-13", "S-17")
async def test_every_order_of_the_events_of_one_intent(shop: Shop) -> None:
    """A declined card, then one that pays: every order of arrival, each for an order of its own."""
    ways = ways_to_arrive()
    await shop.stocked("MUG", len(ways))
    carts = [wanted(MUG=1) for _ in ways]
    await shop.orders.BatchCreateOrders(service_pb2.BatchCreateOrdersRequest(requests=carts), timeout=3 * TIMEOUT_S)
    created = [await shop.create(cart) for cart in carts]  # asked again, and those that payments was too slow for
    order_ids = [each.order.order_id for each in created]
    await shop.settle()
    for each in created:
        assert await shop.pay(each, "pm_card_chargeDeclined") == "requires_payment_method"
        assert await shop.pay(each) == "succeeded"
    await shop.sim.client.webhooks.discard()
    told = await recorded(shop, order_ids)
    assert {tuple(event["type"] for event in events) for events in told.values()} == {RECORDED}

    for place in range(len(RECORDED)):
        answers = await asyncio.gather(
            *(shop.tell(told[order_id][way[place]]) for order_id, way in zip(order_ids, ways, strict=True))
        )
        assert set(answers) == {200}
        if place == 2:  # orders hears of some before the others have come
            await shop.settle()
    await shop.settle()

    states = Counter([await shop.state(order_id) for order_id in order_ids])
    assert states == {"PROCESSING": len(ways)}
    facts = "SELECT order_id::text, fact, amount_minor FROM payment_transactions"
    assert Counter(tuple(row) for row in await shop.rows("payments", facts)) == Counter(
        (order_id, "captured", 1_000) for order_id in order_ids
    )
    said = Counter((event.key, event.kind) for event in set(await shop.events("payments")))
    assert all(said[order_id, "PaymentSucceeded"] == 1 for order_id in order_ids)
    verdicts = await shop.rows("orders", "SELECT DISTINCT payment_verdict, payment_captured_minor FROM orders")
    assert [tuple(row) for row in verdicts] == [("PAID", 1_000)]
    assert await breaches(shop) == []
