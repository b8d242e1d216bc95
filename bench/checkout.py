"""checkout: orders a second from cart to delivered, through every process, for a minute.

Why: parts that are fast alone share two cores here, and a customer sees only the whole.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, Final

import asyncpg
import psutil
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from bench import inbox, order_create, outbox_drain, webhook
from bench.goals import CORES, GOALS
from bench.harness import Plan, Result, Sample, Spread
from bench.load import cpu_s
from bench.world import SETTINGS, World, ask, at, free_port
from ops.demo import catalogue
from ops.demo.customers import play
from ops.demo.doors import Doors, opened
from ops.demo.script import DELIVERED, Checkout, Flow, Person, Story
from ops.local.databases import database_of
from ops.local.environment import Ports
from ops.local.stack import Stack
from services.chassis.testing import open_database, settings_for
from services.inventory.config import InventorySettings

NAME: Final = "checkout"
SECONDS: Final = 60.0
WARM_UP_S: Final = 10.0
CUSTOMERS: Final = 32
AHEAD_MOST: Final = 200  # orders under way: who comes then waits, so that the rate is one that can be kept up
LOOK_S: Final = 0.25
CARTS: Final = 100
LIMIT_S: Final = 2.0
# The profile `demo` looks at every object under way each few seconds, so that a person need not wait for what a lost
# webhook leaves behind; under load that is work by the backlog and not by the order. These are production's durations.
DURATIONS: Final = {
    "ONEFOLD_FULFILLMENT_WATCH_EVERY_MS": "3600000",
    "ONEFOLD_PAYMENTS_RECONCILE_INTERVAL_MS": "3600000",
    **{
        f"ONEFOLD_{name}_JOB_INTERVAL_MS": "5000"
        for name in ("ORDERS", "INVENTORY", "PAYMENTS", "FULFILLMENT", "EMAILS")
    },
    **{f"ONEFOLD_{name}_RELAY_POLL_MS": "500" for name in ("ORDERS", "INVENTORY", "PAYMENTS", "FULFILLMENT")},
    # Longer than a round: nothing is cancelled because the machine is slow.
    "ONEFOLD_ORDERS_PAYABLE_MS": "600000",
    "ONEFOLD_INVENTORY_HOLD_MS": "600000",
}
ANA: Final = Person("customer-1", "ana@example.com", "Ana Lima", "GB", "12 Mill Lane", "Leeds", "LS1 4DY", "")
# What one order makes of each kind of work: (service, how often it happened).
WEBHOOKS: Final = (("payments", "SELECT count(*) FROM webhook_events"),)
UNDER_WAY: Final = "SELECT count(*) FROM orders WHERE state <> 'DELIVERED'"
DELIVERED_SO_FAR: Final = "SELECT count(*) FROM orders WHERE state = 'DELIVERED'"
SENT: Final = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'position')), 0)"
READ: Final = "SELECT count(*) FROM inbox"
SERVICES: Final = ("orders", "inventory", "payments", "fulfillment")


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark, on a stack of its own as `onefold up` starts it, simulators delivering at once."""
    limits = [await _limits(world)]
    with tempfile.TemporaryDirectory(prefix="onefold-checkout-", dir=world.stack.state.parent) as folder:
        state = Path(folder)
        state.chmod(0o755)
        at_once = {"ONEFOLD_SIMULATORS_AUTO_SHIP_SECONDS": "0", "ONEFOLD_SIMULATORS_AUTO_DELIVER_SECONDS": "0"}
        with Stack(state, Ports.free(), profile="demo", extra={**SETTINGS, **DURATIONS, **at_once}) as stack:
            rates, units, told = await _sustained(stack, max(SECONDS, plan.seconds), plan.rounds)
    limits.append(await _limits(world))  # the machine's speed is not the same before and after a minute
    costs = {name: mean(each[name] for each in limits) for name in units}
    limit = Spread.of([CORES / sum(each[name] * units[name] for name in units) for each in limits])
    ours = Spread(mean(rates), min(rates), max(rates))  # of the whole minute, and its slowest and fastest fifth
    shares = ", ".join(f"{name} {1e6 * costs[name]:.0f} us x {units[name]:.1f}" for name in costs)
    return Result(
        name=NAME,
        unit="orders/s",
        goal=GOALS[NAME],
        ours=ours,
        limit=limit,
        over_limit=Spread(*(figure / limit.median for figure in (ours.median, ours.low, ours.high))),
        rounds=len(rates),
        notes=[f"limit: CPU of one unit at its own limit x units per order: {shares}", told],
    )


async def _sustained(stack: Stack, seconds: float, windows: int) -> tuple[list[float], dict[str, float], str]:
    """Orders delivered per second of each window, units of each kind of work per order, CPU per order by process."""
    rows = [row for row in catalogue.read() if row.available and row.units >= CARTS and "GBP" in row.prices][:CARTS]
    async with opened(stack.environment) as doors:
        await catalogue.load(doors, rows)
        await _ask(stack, "inventory", "UPDATE stock SET on_hand = on_hand + 1000000")
        road = Road()
        buying = [asyncio.create_task(_buy(road, doors, rows, number)) for number in range(CUSTOMERS)]
        watching = asyncio.create_task(_watch(stack, road))
        try:
            await asyncio.sleep(WARM_UP_S)
            before, cpu, rates = await _units(stack), _cpu(stack), []
            begun, at = before["orders"], time.perf_counter()
            for _ in range(windows):
                await asyncio.sleep(seconds / windows)
                delivered, now = await _ask(stack, "orders", DELIVERED_SO_FAR), time.perf_counter()
                rates.append((delivered - begun) / (now - at))
                begun, at = delivered, now
            after, spent = await _units(stack), _cpu(stack)
        finally:
            road.ends = True
            road.is_free.set()
            watching.cancel()
            await asyncio.wait([*buying, watching], timeout=30)
    for task in buying:
        if task.done() and (error := task.exception()):
            raise error
    done = {name: after[name] - before[name] for name in after}
    orders = max(done.pop("orders"), 1)
    told = ", ".join(f"{name} {1000 * (spent[name] - cpu[name]) / orders:.1f} ms" for name in spent)
    return rates, {name: count / orders for name, count in done.items()}, f"CPU per order: {told}"


async def _buy(road: "Road", doors: Doors, rows: list[catalogue.Row], customer: int) -> None:
    """One customer after the other; each waits while too many orders are still on their way."""
    number = customer
    while not road.ends:
        row = rows[number % len(rows)]
        await play(doors, Checkout(number, Story.PAYS, Flow.INTENT, "GBP", ((row.sku, 1),), ANA, DELIVERED))
        number += CUSTOMERS
        await road.is_free.wait()


@dataclass
class Road:
    """Whether another order may set out; all customers look at this and none at the database."""

    is_free: asyncio.Event = field(default_factory=asyncio.Event)
    ends: bool = False


async def _watch(stack: Stack, road: Road) -> None:
    """Close the road while too many orders are under way."""
    connection = await asyncpg.connect(stack.postgres.dsn(database_of("orders")))
    try:
        while True:
            if await connection.fetchval(UNDER_WAY) <= AHEAD_MOST:
                road.is_free.set()
            else:
                road.is_free.clear()
            await asyncio.sleep(LOOK_S)
    finally:
        await connection.close()


async def _units(stack: Stack) -> dict[str, float]:
    """Orders delivered, and units of work that were done, so far."""
    delivered = await _ask(stack, "orders", DELIVERED_SO_FAR)
    webhooks = sum([await _ask(stack, service, statement) for service, statement in WEBHOOKS])
    sent = sum([await _ask(stack, service, SENT) for service in SERVICES])
    read = sum([await _ask(stack, service, READ) for service in SERVICES])
    return {"orders": delivered, "order-create": delivered, "webhook": webhooks, "outbox-drain": sent, "inbox": read}


async def _ask(stack: Stack, service: str, statement: str) -> Any:
    return await ask(stack.postgres.dsn(database_of(service)), statement) or 0


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds of each process so far, the servers and this load generator included."""
    pids = {name: child.pid for name, child in stack.processes.items()}
    pids |= {"PostgreSQL": stack.postgres.pid, "Kafka": stack.kafka.pid}
    return {name: cpu_s(psutil.Process(pid)) for name, pid in pids.items()} | {"customers": time.process_time()}


async def _limits(world: World) -> Mapping[str, float]:
    """CPU seconds of one unit of each kind at its limit, over all processes that took part."""
    settings = settings_for(InventorySettings, world.dsn("inventory"), pool_size=4)
    await world.sql("inventory", inbox.TABLE)
    await world.sql("inventory", inbox.GRANT)
    echo, alone = free_port(), free_port()
    async with (
        world.served("echo", "bench.echo", str(echo), port=echo) as (channel, _),
        _gateway_alone(world, alone),
        open_database(settings) as database,
    ):
        produce = partial(outbox_drain._produce, world)
        call = order_create.calling(OrdersServiceStub(channel))
        return {
            "order-create": await _cost(call(LIMIT_S)),
            "webhook": await _cost(webhook._send(world, alone, LIMIT_S)),
            "outbox-drain": await _cost(outbox_drain._counted(world, produce, LIMIT_S)),
            "inbox": await _cost(inbox._counted(world, partial(inbox._bare, database), LIMIT_S)),
        }


@asynccontextmanager
async def _gateway_alone(world: World, port: int) -> AsyncIterator[None]:
    command = ["python", "-m", "bench.gateway_alone"]
    async with world.process("alone", command, port=f"127.0.0.1:{port}", extra=at("gateway", port)):
        yield


async def _cost(work: Awaitable[Sample]) -> float:
    """CPU seconds per unit."""
    sample = await work
    return sample.cpu_s / sample.done
