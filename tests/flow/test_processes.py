"""Proof 7: processes are killed and paused, PostgreSQL and Kafka restart, and no order is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path

import pytest

from ops.audit.run import audit
from services.chassis.testing import wait_until
from tests.flow.town import PATIENCE_S, PROCESSES, Town, open_town

pytestmark = [pytest.mark.serial, pytest.mark.timeout(600)]

ORDERS = 200
SKUS = [f"SKU-{number}" for number in range(10)]
PAUSED = ("orders-relay-1", "orders-relay-2", "orders-consume-1", "orders-jobs", "payments", "fulfillment", "emails")
MAILS_OF_ONE = 3  # confirmed, shipped, delivered
PAUSE_S = 11.0  # job leases and Kafka's sessions last 10 s, those of requests 3 s
REST_S = 120.0


async def paused_for_longer_than_leases(town: Town) -> None:
    for name in PAUSED:
        town.paused(name)
    await asyncio.sleep(PAUSE_S)  # the pause itself is what is tested
    for name in PAUSED:
        town.resumed(name)


async def postgres_crashes(town: Town) -> None:
    town.stack.postgres.kill()
    town.stack.postgres.start()


async def kafka_crashes(town: Town) -> None:
    town.stack.kafka.kill()
    town.stack.kafka.start()


def killed(*names: str) -> Callable[[Town], Awaitable[None]]:
    async def happens(town: Town) -> None:
        for name in names:
            town.killed(name)

    return happens


HAPPENINGS: tuple[Callable[[Town], Awaitable[None]], ...] = (
    killed("orders", "orders-consume-1"),
    killed("payments", "orders-relay-1"),
    paused_for_longer_than_leases,
    killed("inventory", "orders-jobs"),
    postgres_crashes,
    killed("fulfillment", "orders-consume-2", "analytics"),
    kafka_crashes,
    killed("gateway", "orders-relay-2", "emails"),
)


@pytest.mark.requirement("S-16", "S-24", "S-25", "S-26", "S-29")
async def test_no_order_is_lost_or_doubled(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await town.stocked(SKUS, ORDERS)
        skus = cycle(SKUS)
        orders: set[str] = set()
        for happens in HAPPENINGS:
            async with asyncio.TaskGroup() as customers:
                bought = [customers.create_task(town.buy(next(skus))) for _ in range(ORDERS // len(HAPPENINGS))]
                await happens(town)  # and they do not wait until all that was killed is back
            orders |= {task.result() for task in bought}
        assert len(orders) == ORDERS
        await town.ready(*PROCESSES)

        async def delivered() -> bool:
            return set((await town.all_orders()).values()) == {"ORDER_STATE_DELIVERED"}

        await wait_until(delivered, within=REST_S)
        assert set(await town.all_orders()) == orders
        money = await town.sim.stripe.ledgers()
        assert Counter(each.times_charged for each in money.values()) == {1: ORDERS}
        parcels = await town.sim.printful.ledgers()
        assert Counter((each.times_created, each.times_charged) for each in parcels.values()) == {(1, 1): ORDERS}

        async def letters_have_arrived() -> bool:
            return len(set(await town.letters())) == MAILS_OF_ONE * ORDERS

        await wait_until(letters_have_arrived, within=REST_S)
        verdict = await audit(town.places(), patience_seconds=PATIENCE_S)
        assert list(verdict.breaches) == [] and verdict.laws > 0 and verdict.events > ORDERS
