"""order-batch: BatchCreateOrders by 100, beside the rival's single calls and beside the use cases without gRPC.

Why: whoever brings orders in bulk should pay for the orders, not for the calls.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from onefold.orders.v1 import orders_service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from bench import harness, order_create
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.load import closed_loop
from bench.world import POOL, World
from services.chassis.clock import SystemClock
from services.chassis.errors import DomainError
from services.chassis.testing import open_database, settings_for
from services.inventory import domain, usecases
from services.inventory.config import InventorySettings
from services.inventory.rpc import InventoryServicer
from services.orders.config import OrdersSettings
from services.orders.messages import place_order_of
from services.orders.partners import Inventory, Reservation
from services.orders.usecases.commands import HeldLine
from services.orders.usecases.placing import Placing

NAME: Final = "order-batch"
PER_CALL: Final = 100
CALLS: Final = 8  # enough that the next flush is full when the last one ends
AT_ONCE: Final = 256


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark."""
    async with (
        order_create.open_servers(world) as served,
        in_process(world.dsn("inventory"), world.dsn("orders")) as placing,
    ):
        sides: dict[str, Side] = {
            OURS: partial(_batches, world, served.ours),
            PEER: order_create.placing(world, served.peer),
            LIMIT: partial(_uses, world, placing),
        }
        samples = await harness.interleaved(sides, plan)
    return harness.by_rate(NAME, "orders/s", GOALS[NAME], samples, [f"p50 and p99 are those of calls with {PER_CALL}"])


@asynccontextmanager
async def in_process(inventory_dsn: str, orders_dsn: str) -> AsyncIterator[Placing]:
    """Placing with inventory's use cases behind it, both databases reached from this process."""
    stock_settings = settings_for(InventorySettings, inventory_dsn, pool_size=POOL)
    settings = settings_for(OrdersSettings, orders_dsn, pool_size=POOL)
    async with open_database(stock_settings) as stock, open_database(settings) as database:
        clock = SystemClock()
        inventory = Beside(InventoryServicer(stock, stock_settings, clock))
        lease = timedelta(seconds=30)
        yield Placing(database, inventory, clock, policies=settings.policies, shipping_fees={"GBP": 395}, lease=lease)


class Beside(Inventory):
    """Inventory in the same process: its use case, without a call."""

    def __init__(self, servicer: InventoryServicer) -> None:
        self._servicer = servicer

    async def reserve(self, reservations: Sequence[Reservation]) -> list[tuple[HeldLine, ...] | DomainError]:
        """Hold stock for all; every cart of a benchmark can be had."""
        answers = await self._servicer._change_reservations([_command(each) for each in reservations])
        return [_held(answer) for answer in answers]


async def _batches(world: World, stub: OrdersServiceStub, seconds: float) -> Sample:
    async def call() -> None:
        batch = orders_service_pb2.BatchCreateOrdersRequest(requests=[order_create.request() for _ in range(PER_CALL)])
        await stub.BatchCreateOrders(batch, timeout=order_create.CALL_S)

    before = await order_create.rows(world)
    sample = await closed_loop(call, in_flight=CALLS, seconds=seconds, units=PER_CALL)
    await order_create.require_rows(world, before, int(sample.done))
    return sample


async def _uses(world: World, placing: Placing, seconds: float) -> Sample:
    async def flush() -> None:
        await placing.flush([place_order_of(order_create.request(), "demo") for _ in range(AT_ONCE)])

    before = await order_create.rows(world)
    sample = await closed_loop(flush, in_flight=2, seconds=seconds, units=AT_ONCE)
    await order_create.require_rows(world, before, int(sample.done))
    return sample


def _command(wanted: Reservation) -> usecases.Reservation:
    lines = tuple(
        domain.WantedLine(number, line.sku, line.quantity, None) for number, line in enumerate(wanted.command.lines, 1)
    )
    return usecases.Reservation(wanted.order_id, wanted.number, lines, wanted.command.currency)


def _held(answer: object) -> tuple[HeldLine, ...]:
    if not isinstance(answer, domain.Hold):
        raise harness.WrongCount("a reservation was refused")
    return tuple(
        HeldLine(
            *(
                line.line,
                line.sku,
                line.reserved,
                line.location,
                line.name,
                line.price.amount_minor if line.price else 0,
            )
        )
        for line in answer.lines
    )
