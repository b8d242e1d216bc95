"""hot-sku: 512 buyers want one SKU; how many reservations a second does one row allow?

Why: at a sale everybody waits for the same lock, and whoever holds it for one buyer at a time makes all others wait.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Final

import asyncpg

from bench import harness
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.load import closed_loop
from bench.peers.inventory import reserve as reserve_alone
from bench.peers.serving import open_pool
from bench.statements import pgbench, reserving_script
from bench.world import POOL, World
from services.chassis.batch import Batcher, batcher_for
from services.chassis.clock import SystemClock
from services.chassis.ids import new_id
from services.chassis.testing import open_database, settings_for
from services.inventory import domain
from services.inventory.config import InventorySettings
from services.inventory.rpc import FLUSHES, Answer, Command, InventoryServicer
from services.inventory.usecases import Reservation

NAME: Final = "hot-sku"
BUYERS: Final = 512
SKU: Final = "sku-0"
BATCH: Final = 256
HELD: Final = "holds"


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark: the use case behind its Batcher, the rival's transaction, and pgbench, all without gRPC."""
    settings = settings_for(InventorySettings, world.dsn("inventory"), pool_size=POOL)
    async with open_database(settings) as database:
        pool = await open_pool(world.dsn("inventory"))
        servicer = InventoryServicer(database, settings, SystemClock())
        batcher = batcher_for(settings, servicer._change_reservations, name="hot_sku", flushes=FLUSHES)
        sides: dict[str, Side] = {
            OURS: partial(_batched, world, batcher),
            PEER: partial(_one_by_one, world, pool),
            LIMIT: partial(_pgbench, world),
        }
        samples = await harness.interleaved(sides, plan)
        await servicer.close()
        await pool.close()
    ours, peer = (sorted(each for s in samples[side] for each in s.latencies_s) for side in (OURS, PEER))
    ratio = harness.percentile(ours, 0.99) / harness.percentile(peer, 0.99)
    note = f"p99 is {ratio:.3f} of the peer's {1000 * harness.percentile(peer, 0.99):.0f} ms (goal: at most 0.02)"
    return harness.by_rate(NAME, "reservations/s", GOALS[NAME], samples, [note])


def wanted() -> Reservation:
    """One unit of the hot SKU."""
    return Reservation(new_id(), 1, (domain.WantedLine(1, SKU, 1, None),), "GBP")


async def _batched(world: World, batcher: "Batcher[Command, Answer]", seconds: float) -> Sample:
    async def buy() -> None:
        if not isinstance(await batcher.submit(wanted()), domain.Hold):
            raise harness.WrongCount("a reservation was refused")

    return await _counted(world, closed_loop(buy, in_flight=BUYERS, seconds=seconds))


async def _one_by_one(world: World, pool: "asyncpg.Pool[asyncpg.Record]", seconds: float) -> Sample:
    async def buy() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await reserve_alone(connection, new_id(), 1, [(1, SKU, 1)], "GBP")

    return await _counted(world, closed_loop(buy, in_flight=BUYERS, seconds=seconds))


async def _pgbench(world: World, seconds: float) -> Sample:
    """One client, as one flush is in flight: more would only wait for the row."""
    script = reserving_script(SKU, BATCH)
    before = await world.count("inventory", HELD)
    batches, took = await pgbench(world, "inventory", script, seconds)
    harness.require("holds", await world.count("inventory", HELD) - before, batches * BATCH)
    return Sample(batches * BATCH, took)


async def _counted(world: World, load: Awaitable[Sample]) -> Sample:
    before = await world.count("inventory", HELD)
    reserved = await _reserved(world)
    sample = await load
    harness.require("holds", await world.count("inventory", HELD) - before, sample.done)
    harness.require("reserved units", await _reserved(world) - reserved, sample.done)
    return sample


async def _reserved(world: World) -> int:
    return int((await world.sql("inventory", "SELECT sum(reserved) FROM stock WHERE sku = $1", SKU))[0][0])
