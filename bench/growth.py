"""growth: what one more order costs after a million of them, and after ten million events went through the outbox.

Why: a shop that is fast in its first week and slow in its second year was never fast.
"""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

import asyncpg

from bench import harness, order_create
from bench.goals import GOALS
from bench.harness import OURS, PEER, Plan, Result, Sample, Spread
from bench.load import closed_loop
from bench.order_batch import AT_ONCE, in_process
from bench.world import World, ask
from ops.local.databases import database_of
from services.orders.messages import place_order_of
from services.orders.usecases.placing import Placing

NAME: Final = "growth"
FEW: Final = 10_000
MANY: Final = 1_000_000
OUTBOX: Final = 10_000_000
CHUNK: Final = 100_000
WARM_UP: Final = 4
SERVICES: Final = ("orders", "inventory")
SETTLE_S: Final = 300.0
VACUUMING: Final = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'
"""
SMALL: Final = "_small"  # the databases that stay as they were after FEW orders

# Copies of one order that was placed, under ids of their own, with everything that belongs to it.
COPY_ORDERS: Final = """
WITH made AS MATERIALIZED (
    SELECT upper(lpad(to_hex(g), 10, '0')) AS number, gen_random_uuid() AS id
      FROM generate_series($2::bigint, $3::bigint) g
), roots AS (
    INSERT INTO orders
    SELECT r.* FROM made m CROSS JOIN orders o CROSS JOIN LATERAL jsonb_populate_record(
        o, jsonb_build_object('order_id', m.id, 'number', m.number, 'request_id', m.id::text)) r
     WHERE o.order_id = $1::uuid
), lines AS (
    INSERT INTO order_lines
    SELECT r.* FROM made m CROSS JOIN order_lines l
     CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object('order_id', m.id)) r WHERE l.order_id = $1
), keys AS (
    INSERT INTO idempotency_keys
    SELECT r.* FROM made m CROSS JOIN idempotency_keys k CROSS JOIN LATERAL jsonb_populate_record(
        k, jsonb_build_object('request_id', m.id::text, 'subject', m.id::text)) r WHERE k.subject = $1::uuid::text
)
INSERT INTO order_history (order_id, number, from_state, to_state, actor, reason, occurred_at, caused_by, version)
SELECT m.id, h.number, h.from_state, h.to_state, h.actor, h.reason, h.occurred_at, h.caused_by, h.version
  FROM made m CROSS JOIN order_history h WHERE h.order_id = $1
"""
COPY_HOLDS: Final = """
WITH made AS MATERIALIZED (SELECT gen_random_uuid()::text AS id FROM generate_series($2::bigint, $3::bigint)),
roots AS (
    INSERT INTO order_stock (order_id, version, placed, released_round, created_at)
    SELECT m.id, o.version, o.placed, o.released_round, o.created_at
      FROM made m CROSS JOIN order_stock o WHERE o.order_id = $1
), holds AS (
    INSERT INTO holds (order_id, reservation, state, lapses_at)
    SELECT m.id, h.reservation, h.state, h.lapses_at FROM made m CROSS JOIN holds h WHERE h.order_id = $1
), ledger AS (
    INSERT INTO stock_ledger (sku, location, kind, on_hand_delta, reserved_delta, shipped_delta, order_id, occurred_at)
    SELECT l.sku, l.location, l.kind, 0, l.reserved_delta, 0, m.id, l.occurred_at
      FROM made m CROSS JOIN stock_ledger l WHERE l.order_id = $1
)
INSERT INTO hold_lines
SELECT r.* FROM made m CROSS JOIN hold_lines l
 CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object('order_id', m.id)) r WHERE l.order_id = $1
"""
# What the relay leaves behind: rows that were written and deleted, and positions that were drawn.
PASS_THROUGH: Final = """
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, occurred_at)
SELECT gen_random_uuid(), 'onefold.orders.v1', 'key-' || g, 'onefold.orders.v1.OrderCreated', '\\x0a'::bytea, now()
  FROM generate_series(1, $1::int) g
"""


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark: two shops, one of which has grown, take turns; unit: CPU and wait per order in us."""
    async with _shop(world, "") as placing:
        await _place(placing, WARM_UP)
    await _grow(world, FEW, outbox=FEW)
    for service in SERVICES:
        await world.sql(service, f"CREATE DATABASE {database_of(service)}{SMALL} TEMPLATE {database_of(service)}")
    started = time.perf_counter()
    await _grow(world, MANY, outbox=OUTBOX)
    grown_s = time.perf_counter() - started
    await _settled(world)
    async with _shop(world, "") as grown, _shop(world, SMALL) as small:
        sides = {OURS: partial(_round, world, grown, ""), PEER: partial(_round, world, small, SMALL)}
        samples = await harness.interleaved(sides, plan)
    many, few = ([1e6 / sample.rate for sample in samples[side]] for side in (OURS, PEER))
    return Result(
        name=NAME,
        unit="us/order",
        goal=GOALS[NAME],
        ours=Spread.of(many),
        peer=Spread.of(few),
        over_peer=harness.ratios(many, few),
        rounds=len(many),
        notes=[f"peer: ours after {FEW:,} orders; growing to {MANY:,} took {grown_s:.0f} s"],
    )


async def _settled(world: World) -> None:
    """Until autovacuum has done with what came in minutes: both shops share the server, and would both pay for it."""
    async with asyncio.timeout(SETTLE_S):
        while await ask(world.superuser("orders"), VACUUMING):
            await asyncio.sleep(1)
    await world.sql("orders", "CHECKPOINT")


def _shop(world: World, twin: str) -> AbstractAsyncContextManager[Placing]:
    """Orders and inventory in this process; `twin`: what follows the names of their databases."""
    return in_process(f"{world.dsn('inventory')}{twin}", f"{world.dsn('orders')}{twin}")


async def _round(world: World, placing: Placing, twin: str, seconds: float) -> Sample:
    """Orders in batches of AT_ONCE; the relay's part, taking the events away, comes after the clock has stopped."""
    orders = f"{world.superuser('orders')}{twin}"
    before = await ask(orders, "SELECT count(*) FROM orders")
    sample = await closed_loop(partial(_place, placing, 1), in_flight=1, seconds=seconds, units=AT_ONCE)
    harness.require("orders", await ask(orders, "SELECT count(*) FROM orders") - before, sample.done)
    for service in SERVICES:
        await ask(f"{world.superuser(service)}{twin}", "DELETE FROM outbox")
    return sample


async def _place(placing: Placing, batches: int) -> None:
    for _ in range(batches):
        await placing.flush([place_order_of(order_create.request(), "demo") for _ in range(AT_ONCE)])


async def _grow(world: World, orders: int, *, outbox: int) -> None:
    """Copy until there are so many orders, let so many rows go through both outboxes; autovacuum works meanwhile."""
    present = await world.count("orders", "orders")
    template = str((await world.sql("orders", "SELECT order_id FROM orders LIMIT 1"))[0][0])
    for first in range(present, orders, CHUNK):
        last = min(first + CHUNK, orders) - 1
        await world.sql("orders", COPY_ORDERS, template, first, last)
        await world.sql("inventory", COPY_HOLDS, template, first, last)
    for service in SERVICES:
        connection = await asyncpg.connect(world.superuser(service))
        try:
            for _ in range(0, outbox, CHUNK):
                await connection.execute(PASS_THROUGH, min(CHUNK, outbox))
                await connection.execute("DELETE FROM outbox")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
    harness.require("orders", await world.count("orders", "orders"), max(orders, present))
