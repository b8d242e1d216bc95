"""order-create: CreateOrder over gRPC, 256 in flight, through orders and inventory, without a provider.

Why: this is the call that a shop waits for, and the one whose cost is mostly in round trips and commits.
"""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_pb2, orders_service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from psutil import Process

from bench import harness
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.load import at_pace, closed_loop
from bench.world import SKUS, World, at, free_port
from services.chassis.ids import new_id

NAME: Final = "order-create"
IN_FLIGHT: Final = 256
LINES: Final = 2
CALL_S: Final = 30.0
ADDRESS: Final = common_pb2.Address(
    name="Ada Lovelace", line1="12 St James's Square", city="London", postal_code="SW1Y 4JH", country_code="GB"
)
_chance = random.Random(4)


@dataclass(frozen=True)
class Served:
    """The servers of order-create: stubs, and the processes behind ours."""

    ours: OrdersServiceStub
    peer: OrdersServiceStub
    echo: OrdersServiceStub
    processes: dict[str, Process]


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark."""
    async with open_servers(world) as served:
        sides: dict[str, Side] = {
            OURS: placing(world, served.ours),
            PEER: placing(world, served.peer),
            LIMIT: calling(served.echo),
        }
        samples = await harness.interleaved(sides, plan)
        alone = await _one_at_a_time(served, plan)
        half = sum(sample.rate for sample in samples[OURS]) / len(samples[OURS]) / 2
        paced = await at_pace(lambda: create(served.ours), per_second=half, seconds=plan.seconds)
        notes = [alone, f"p99 at half of the rate ({half:.0f}/s) {_ms(paced, 0.99):.1f} ms", *await _cpu(served, plan)]
    return harness.by_rate(NAME, "orders/s", GOALS[NAME], samples, notes)


@asynccontextmanager
async def open_servers(world: World) -> AsyncIterator[Served]:
    """Ours, the peer and the echo, all running at once; who is not asked uses no CPU."""
    ports = {name: free_port() for name in ("orders", "inventory", "peer", "peer-inventory", "echo")}
    where = {
        **at("orders", ports["orders"]),
        **at("inventory", ports["inventory"]),
        "ONEFOLD_ORDERS_INVENTORY_TARGET": f"127.0.0.1:{ports['inventory']}",
        "BENCH_PEER_INVENTORY": f"127.0.0.1:{ports['peer-inventory']}",
    }
    async with AsyncExitStack() as stack:
        processes: dict[str, Process] = {}

        async def serve(name: str, module: str, *arguments: str) -> OrdersServiceStub:
            opened = world.served(name, module, *arguments, port=ports[name], extra=where)
            channel, processes[name] = await stack.enter_async_context(opened)
            return OrdersServiceStub(channel)

        await serve("inventory", "services.inventory", "serve")
        await serve("peer-inventory", "bench.peers.inventory", str(ports["peer-inventory"]))
        yield Served(
            await serve("orders", "services.orders", "serve"),
            await serve("peer", "bench.peers.orders", str(ports["peer"])),
            await serve("echo", "bench.echo", str(ports["echo"])),
            processes,
        )


def request() -> orders_service_pb2.CreateOrderRequest:
    """An order of LINES random items, paid later."""
    skus = _chance.sample(range(SKUS), LINES)
    return orders_service_pb2.CreateOrderRequest(
        request_id=new_id(),
        lines=[orders_service_pb2.CartLine(sku=f"sku-{sku}", quantity=1) for sku in skus],
        currency="GBP",
        customer_id="customer-1",
        email="ada@example.org",
        shipping_address=ADDRESS,
        payment_flow=orders_pb2.PAYMENT_FLOW_DEFERRED,
    )


async def create(stub: OrdersServiceStub) -> None:
    """One call."""
    await stub.CreateOrder(request(), timeout=CALL_S)


def calling(stub: OrdersServiceStub) -> Side:
    """Calls that leave nothing behind."""

    async def side(seconds: float) -> Sample:
        return await closed_loop(lambda: create(stub), in_flight=IN_FLIGHT, seconds=seconds)

    return side


def placing(world: World, stub: OrdersServiceStub) -> Side:
    """Calls, and the rows that each must have left behind."""

    async def side(seconds: float) -> Sample:
        before = await rows(world)
        sample = await closed_loop(lambda: create(stub), in_flight=IN_FLIGHT, seconds=seconds)
        await require_rows(world, before, int(sample.done))
        return sample

    return side


async def rows(world: World) -> dict[str, int]:
    """Rows of every table that an order leaves some in."""
    tables = ("orders.orders", "orders.order_lines", "orders.order_history", "inventory.hold_lines")
    more = ("inventory.holds", "inventory.stock_ledger")
    pairs = [table.split(".") for table in (*tables, *more)]
    return {table: await world.count(service, table) for service, table in pairs}


async def require_rows(world: World, before: dict[str, int], orders: int) -> None:
    """One order, hold and history entry each, and LINES of everything that is per line."""
    for table, count in (await rows(world)).items():
        per_order = LINES if table in ("order_lines", "hold_lines", "stock_ledger") else 1
        harness.require(f"rows of {table}", count - before[table], orders * per_order)


async def _one_at_a_time(served: Served, plan: Plan) -> str:
    """How long one order takes while nobody else orders: the batcher must not add a wait."""
    ours = await closed_loop(lambda: create(served.ours), in_flight=1, seconds=plan.seconds / 2)
    peer = await closed_loop(lambda: create(served.peer), in_flight=1, seconds=plan.seconds / 2)
    return f"p50 at 1 in flight {_ms(ours, 0.5):.1f} ms (peer {_ms(peer, 0.5):.1f} ms)"


async def _cpu(served: Served, plan: Plan) -> list[str]:
    """CPU per order of each of our processes: where the time goes."""
    before = {name: sum(process.cpu_times()[:2]) for name, process in served.processes.items()}
    sample = await closed_loop(lambda: create(served.ours), in_flight=IN_FLIGHT, seconds=plan.seconds)
    spent = {name: sum(served.processes[name].cpu_times()[:2]) - start for name, start in before.items()}
    told = ", ".join(f"{name} {1e6 * spent[name] / sample.done:.0f} us" for name in ("orders", "inventory"))
    return [f"CPU per order: {told} (PostgreSQL and the load generator have the rest)"]


def _ms(sample: Sample, share: float) -> float:
    return harness.percentile(sorted(sample.latencies_s), share) * 1000
