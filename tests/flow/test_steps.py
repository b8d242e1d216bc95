"""Proof 3: each step is delivered twice, and dies at each place where it can die; the end is the same.

Why: between two services there is no transaction, so every step must bear being repeated and being cut off anywhere.
"""

from collections import Counter
from dataclasses import dataclass

import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.errors import from_rpc_error
from services.chassis.ids import new_id
from tests.flow.laws import breaches
from tests.flow.nodes import Node, Place
from tests.flow.shop import THOROUGH, Shop, wanted

import grpc.aio

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY = 1 if THOROUGH else 4  # places of a kind between two deaths
TRIES = 5
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


async def create(shop: Shop, sku: str) -> service_pb2.CreateOrderResponse:
    """An order by a caller who repeats the same request until it is answered."""
    request = wanted(new_id(), **{sku: 1})
    for _ in range(TRIES):
        try:
            return await shop.create(request)
        except grpc.aio.AioRpcError as error:
            assert from_rpc_error(error).reason in ("DEPENDENCY_UNAVAILABLE", "REQUEST_IN_PROGRESS"), error
            await shop.pass_time(minutes=1)
    raise AssertionError("CreateOrder is never answered")


async def rest(shop: Shop) -> None:
    """Everything that goes on by itself, and then by what looks after the dead: leases end, lost calls are looked up."""
    await shop.settle()
    await shop.pass_time(minutes=1)
    await shop.settle()


async def travel(shop: Shop, sku: str) -> str:
    """One order from cart to delivered."""
    created = await create(shop, sku)
    order_id = created.order.order_id
    await shop.pay(created)
    await rest(shop)
    await shop.ship(order_id)
    await rest(shop)
    await shop.deliver(order_id)
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


async def dies_everywhere(shop: Shop, node: Node, place: Place, sku: str) -> int:
    """Roads on which `node` dies at `place`, the first time it comes there, the second ..; how many there were."""
    usual = await end_of(shop, await travel(shop, sku))
    number = 1
    while True:
        deaths = node.deaths
        node.mortality.die_at(place, number)
        order_id = await travel(shop, sku)
        if node.mortality.is_armed:
            node.mortality.disarm()
            return number - 1
        assert node.deaths == deaths + 1
        assert await end_of(shop, order_id) == usual, f"{node.name} died {place} {number}"
        assert await breaches(shop) == [], f"{node.name} died {place} {number}"
        number += EVERY


@pytest.mark.requirement("R-6.1", "S-5", "S-12", "S-13", "S-15", "S-24", "S-25", "S-29")
@pytest.mark.parametrize("place", list(Place))
@pytest.mark.parametrize("name", ["orders", "inventory", "payments", "fulfillment"])
async def test_a_service_dies_on_the_road(shop: Shop, name: str, place: Place) -> None:
    sku = await shop.stocked(f"{name}-{place}".replace(" ", "-"), 100)
    assert await dies_everywhere(shop, shop.nodes[name], place, sku) >= 1


@pytest.mark.requirement("R-1.17", "R-1.1", "S-12", "S-13", "S-22", "S-25")
async def test_everything_is_delivered_twice(shop: Shop) -> None:
    await shop.stocked("TWICE", 100)
    usual = await end_of(shop, await travel(shop, "TWICE"))
    await shop.sim.client.faults.webhook(vendor="stripe", kind="duplicate", times=1_000)
    await shop.sim.client.faults.webhook(vendor="printful", kind="duplicate", times=1_000)

    created = await create(shop, "TWICE")
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
