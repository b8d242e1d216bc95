"""Proof 3: each step is delivered twice, and dies at each place where it can die; the end is the same.

Why: between two services there is no transaction, so every step must bear being repeated and being cut off anywhere.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from onefold.orders.v1 import orders_pb2

from tests.flow.laws import breaches
from tests.flow.nodes import Node, Place
from tests.flow.shop import READS, THOROUGH, Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

# At which coming to the place it dies. All: until it comes there no more; else in the middle of the road.
ALL = range(1, 100)
MIDDLE = {"orders": [4], "inventory": [2], "payments": [2, 5], "fulfillment": [3]}
NUMBERS = dict.fromkeys(READS, ALL) if THOROUGH else MIDDLE
RESTS = 10  # at most, until the next station of the road is reached
FACT = "SELECT fact, amount_minor FROM payment_transactions WHERE order_id = $1::uuid ORDER BY position"
MOVED = "SELECT kind, on_hand_delta, reserved_delta FROM stock_ledger WHERE order_id = $1 ORDER BY position"


@dataclass(frozen=True)
class End:
    """Everything about an order that a repetition could have changed."""

    history: tuple[str, ...]
    events: tuple[tuple[str, str, int], ...]
    ledger: tuple[tuple[str, int], ...]
    stock: tuple[tuple[str, int, int], ...]
    parcels: tuple[int, int, int]


async def rest(shop: Shop) -> None:
    """What goes on by itself, and then what somebody takes over from the dead: leases end, calls are looked up."""
    await shop.settle()
    await shop.pass_time(minutes=1)
    await shop.settle()


async def rest_until(shop: Shop, reached: Callable[[], Awaitable[bool]]) -> None:
    """Rest, and on a slow machine again, until that is reached: a consumer that joins anew takes its time."""
    for _ in range(RESTS):
        await rest(shop)
        if await reached():
            return


async def travel(shop: Shop, sku: str) -> str:
    """One order from cart to delivered."""
    created = await shop.order(**{sku: 1})
    order_id = created.order.order_id

    async def is_submitted() -> bool:
        return (await shop.sim.client.printful.ledger(shop.external_id(order_id))).times_charged > 0

    async def is_in(*states: int) -> bool:
        return (await shop.get(order_id)).state in states

    await shop.pay(created)
    await rest_until(shop, is_submitted)
    await shop.ship(order_id)
    await rest_until(shop, lambda: is_in(orders_pb2.ORDER_STATE_SHIPPED))
    await shop.deliver(order_id)
    await rest_until(shop, lambda: is_in(orders_pb2.ORDER_STATE_DELIVERED))
    await rest(shop)
    return order_id


async def end_of(shop: Shop, order_id: str) -> End:
    order = await shop.get(order_id)
    said = {name: {event for event in await shop.events(name) if event.key == order_id} for name in shop.nodes}
    kinds = Counter((name, event.kind) for name, events in said.items() for event in events)
    parcels = await shop.sim.client.printful.ledger(shop.external_id(order_id))
    return End(
        tuple(orders_pb2.OrderState.Name(each.to_state) for each in order.history),
        tuple(sorted((name, kind, number) for (name, kind), number in kinds.items())),
        tuple(tuple(row) for row in await shop.rows("payments", FACT, order_id)),
        tuple(tuple(row) for row in await shop.rows("inventory", MOVED, order_id)),
        (parcels.times_created, parcels.parcels_sent, parcels.parcels_delivered),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def usual(shop: Shop) -> End:
    """How a road ends on which nothing happens."""
    await shop.stocked("USUAL", 10)
    return await end_of(shop, await travel(shop, "USUAL"))


async def dies(shop: Shop, node: Node, place: Place, number: int, sku: str, usual: End) -> bool:
    """A road on which `node` dies when it comes to `place` for the `number`th time; False if it never does."""
    deaths = node.deaths
    node.mortality.die_at(place, number)
    order_id = await travel(shop, sku)
    if node.mortality.is_armed:
        node.mortality.disarm()
        return False
    assert node.deaths == deaths + 1
    assert await end_of(shop, order_id) == usual, f"{node.name} died {place} {number}"
    assert await breaches(shop) == [], f"{node.name} died {place} {number}"
    return True


@pytest.mark.requirement("S-3", "S-5", "S-12", "S-13", "S-15", "S-24", "S-25", "S-29")
@pytest.mark.parametrize("place", list(Place))
@pytest.mark.parametrize("name", ["orders", "inventory", "payments", "fulfillment"])
async def test_a_service_dies_on_the_road(shop: Shop, usual: End, name: str, place: Place) -> None:
    sku = await shop.stocked(f"{name}-{place}".replace(" ", "-"), 100)
    for number in NUMBERS[name]:
        if not await dies(shop, shop.nodes[name], place, number, sku, usual):
            assert number > NUMBERS[name][0]
            return


@pytest.mark.requirement("R-1.17", "R-1.1", "S-12", "S-13", "S-22", "S-25")
async def test_everything_is_delivered_twice(shop: Shop, usual: End) -> None:
    await shop.stocked("TWICE", 100)
    await shop.sim.client.faults.webhook(vendor="stripe", kind="duplicate", times=1_000)
    await shop.sim.client.faults.webhook(vendor="printful", kind="duplicate", times=1_000)

    created = await shop.order(TWICE=1)
    order_id = created.order.order_id
    await shop.pay(created)
    for happens in (shop.ship, shop.deliver):
        await rest(shop)
        await everything_again(shop)
        await happens(order_id)
    await rest(shop)
    await everything_again(shop)

    assert await end_of(shop, order_id) == usual
    assert await breaches(shop) == []
    log = [each for each in await shop.sim.client.webhooks.log() if each.order_id == order_id]
    assert len(log) == 2 * len({each.event_id for each in log})
    await shop.sim.client.faults.clear()


async def everything_again(shop: Shop) -> None:
    """Every consumer reads its topics from the beginning, as after a loss of its offsets."""
    for node in shop.nodes.values():
        await node.rewind()
    await rest(shop)
