"""Reservations against a real database: never below zero, never half, never twice, never stuck."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from services.chassis.testing import wait_until
from services.inventory import domain, usecases
from services.inventory.config import InventorySettings
from services.inventory.domain import Hold, Refused, RefusedReason
from services.inventory.jobs import InventoryJobs
from tests.component.chassis.messaging import SOMEBODY_WAITS
from tests.component.inventory.shop import HOLD, Shop, lines


@pytest.mark.requirement("R-2.14")
async def test_two_concurrent_orders_of_eight_on_a_stock_of_ten(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    answers = await asyncio.gather(shop.reserve(("a", {"MUG": 8})), shop.reserve(("b", {"MUG": 8})))
    held = [answer for (answer,) in answers if isinstance(answer, Hold)]
    (refused,) = [answer for (answer,) in answers if isinstance(answer, Refused)]
    assert len(held) == 1
    assert refused.reason is RefusedReason.CART_REJECTED
    assert [(problem.available, problem.requested) for problem in refused.problems] == [(2, 8)]
    assert await shop.level("MUG") == (10, 8, 0)
    assert await shop.breaches() == []


@pytest.mark.requirement("R-2.14", "R-3.1")
@pytest.mark.parametrize("in_one_batch", [False, True])
async def test_ten_buyers_of_the_last_unit(shop: Shop, in_one_batch: bool) -> None:
    await shop.stocked("MUG", london=1)
    orders = [(f"order-{index}", {"MUG": 1}) for index in range(10)]
    if in_one_batch:
        answers = await shop.reserve(*orders)
    else:
        answers = [answer for (answer,) in await asyncio.gather(*(shop.reserve(order) for order in orders))]
    assert sum(isinstance(answer, Hold) for answer in answers) == 1
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert {(p.available, p.requested) for answer in refused for p in answer.problems} == {(0, 1)}
    assert len(refused) == 9
    assert await shop.level("MUG") == (1, 1, 0)


@pytest.mark.requirement("R-2.14", "R-3.1")
async def test_who_comes_while_the_last_unit_is_being_sold_waits_and_is_refused(shop: Shop) -> None:
    await shop.stocked("MUG", london=1)
    sale = [usecases.Reservation("order-1", 1, lines({"MUG": 1}), "GBP")]
    async with shop.db.transaction() as tx:
        await usecases.change_reservations(tx, sale, shop.clock.now(), hold=HOLD, units_per_sku_max=999)
        late = asyncio.create_task(shop.reserve(("order-2", {"MUG": 1})))
        await wait_until(lambda: shop.db.fetchval(SOMEBODY_WAITS))
    (refused,) = await late
    assert isinstance(refused, Refused)
    assert [(problem.available, problem.requested) for problem in refused.problems] == [(0, 1)]


@pytest.mark.requirement("R-2.14", "R-3.2")
async def test_rapid_reserve_and_undo_leaves_the_stock_exact(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)

    async def come_and_go(order_id: str) -> None:
        for number in (1, 2, 3):
            await shop.reserve((order_id, {"MUG": 2}), number=number)
            await shop.change([usecases.Undo(order_id, number)])

    await asyncio.gather(*(come_and_go(f"order-{index}") for index in range(8)))
    assert await shop.level("MUG") == (10, 0, 0)
    assert await shop.breaches() == []


@pytest.mark.requirement("R-3.1", "S-4")
async def test_skus_in_opposite_order_do_not_deadlock(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    retried: list[str] = []
    monkeypatch.setattr("services.chassis.db.log.info", lambda event, **_: retried.append(event), raising=False)
    skus = [await shop.stocked(f"SKU-{index}", cape=500, london=500) for index in range(6)]
    forwards, backwards = dict.fromkeys(skus, 1), dict.fromkeys(reversed(skus), 1)
    await asyncio.gather(
        *(shop.reserve((f"order-{index}", forwards if index % 2 else backwards)) for index in range(40))
    )
    assert [await shop.level(sku, "cape") for sku in skus] == [(500, 40, 0)] * 6
    assert retried == []


@pytest.mark.requirement("R-3.1")
async def test_all_lines_or_none(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    await shop.stocked("CAP", london=1)
    (refused, other) = await shop.reserve(("a", {"MUG": 2, "CAP": 2}), ("b", {"MUG": 3}))
    assert isinstance(refused, Refused)
    assert [problem.sku for problem in refused.problems] == ["CAP"]
    assert isinstance(other, Hold)
    assert await shop.level("MUG") == (10, 3, 0)
    assert await shop.hold_states("a") == []


@pytest.mark.requirement("R-3.2", "S-5")
async def test_the_same_reservation_again_answers_the_same_hold(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    (first,) = await shop.reserve(("a", {"MUG": 4}))
    shop.clock.advance(timedelta(minutes=1))
    again = await shop.reserve(("a", {"MUG": 4}), ("a", {"MUG": 4}))
    assert again == [first, first]
    assert await shop.level("MUG") == (10, 4, 0)
    assert len(await shop.told("StockReserved")) == 1


@pytest.mark.requirement("S-6")
async def test_undoing_refuses_a_reserve_that_is_still_under_way(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    await shop.change([usecases.Undo("a", 1)])
    assert await shop.reserve(("a", {"MUG": 4})) == [Refused(RefusedReason.RESERVATION_UNDONE)]
    (hold,) = await shop.reserve(("a", {"MUG": 4}), number=2)
    assert isinstance(hold, Hold)
    assert await shop.hold_states("a") == ["RELEASED", "TENTATIVE"]
    assert await shop.level("MUG") == (10, 4, 0)


@pytest.mark.requirement("S-7", "R-3.2")
async def test_a_hold_that_no_order_came_to_own_lapses(shop: Shop, settings: InventorySettings) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(("a", {"MUG": 4}), ("b", {"MUG": 1}))
    jobs = InventoryJobs(shop.db, settings, shop.clock)
    shop.clock.advance(HOLD - timedelta(seconds=1))
    assert await jobs.lapse_holds() == 0
    shop.clock.advance(timedelta(seconds=1))
    assert await jobs.lapse_holds() == 2
    assert await jobs.lapse_holds() == 0
    assert await shop.level("MUG") == (10, 0, 0)
    assert [event.reason for event in await shop.told("StockReleased")] == ["lapsed", "lapsed"]
    assert await shop.reserve(("a", {"MUG": 4})) == [Refused(RefusedReason.RESERVATION_UNDONE)]
    assert await shop.breaches() == []


@pytest.mark.requirement("S-27")
async def test_a_hold_does_not_lapse_while_events_of_its_order_are_parked(
    shop: Shop, settings: InventorySettings
) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(("a", {"MUG": 4}), ("b", {"MUG": 1}))
    await shop.db.fetch(
        "INSERT INTO parked_keys (consumer, topic, key, reason) VALUES ('inventory', 'onefold.orders.v1', 'a', 'test')"
    )
    shop.clock.advance(HOLD)
    assert await InventoryJobs(shop.db, settings, shop.clock).lapse_holds() == 1
    assert await shop.hold_states("a") == ["TENTATIVE"]


@pytest.mark.requirement("R-3.8", "S-20")
async def test_the_reservation_names_where_it_ships_from(shop: Shop) -> None:
    await shop.stocked("MUG", cape=2, london=10)
    await shop.stocked("CAP", cape=9, london=1)
    (both, only) = await shop.reserve(("a", {"MUG": 2, "CAP": 2}), ("b", {"CAP": 7}))
    assert isinstance(both, Hold)
    assert [line.location for line in both.lines] == ["cape", "cape"]
    assert isinstance(only, Hold)
    assert [line.location for line in only.lines] == ["cape"]
    (split,) = await shop.reserve(("c", {"MUG": 3, "CAP": 1}))
    assert isinstance(split, Hold)
    assert [line.location for line in split.lines] == ["london", "london"]
    (refused,) = await shop.reserve(("d", {"CAP": 1, "MUG": 9}))
    assert isinstance(refused, Refused)
    assert [(problem.sku, problem.available) for problem in refused.problems] == [("CAP", 0), ("MUG", 7)]
    assert await shop.breaches() == []


@pytest.mark.requirement("R-2.2", "S-7")
async def test_the_hold_freezes_names_and_prices(shop: Shop) -> None:
    await shop.stocked("MUG", london=10)
    (hold,) = await shop.reserve(("a", {"MUG": 1}))
    assert isinstance(hold, Hold)
    assert [(line.name, line.price) for line in hold.lines] == [("Name of MUG", domain.Price(1000, "GBP"))]
    renamed = domain.Item("MUG", "New name", {"GBP": 5000})
    await shop.db.run(lambda tx: usecases.upsert_items(tx, [renamed], "", shop.clock.now()))
    assert await shop.reserve(("a", {"MUG": 1})) == [hold]


@pytest.mark.requirement("R-3.1", "S-19")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock SET on_hand = -1, reserved = -1",
        "UPDATE stock SET reserved = on_hand + 1",
        "UPDATE hold_lines SET committed = reserved + 1",
        "UPDATE hold_lines SET released = 1, committed = 2, shipped = 2",
        "UPDATE hold_lines SET shipped = 1",
        "UPDATE hold_lines SET returned = 1",
        "UPDATE holds SET state = 'GONE'",
        "UPDATE holds SET state = 'ATTACHED'",
        "INSERT INTO holds (order_id, reservation, state) VALUES ('a', 2, 'ATTACHED')",
    ],
)
async def test_the_schema_refuses_what_cannot_be(shop: Shop, statement: str) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(("a", {"MUG": 2}))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await shop.db.fetch(statement)


@pytest.mark.requirement("R-3.1")
async def test_what_happens_to_a_batch_costs_the_same_number_of_statements(shop: Shop) -> None:
    await shop.stocked("MUG", london=1000)
    counts: list[int] = []
    for size in (2, 1, 50):  # with the first one the connection gets to know the types of rows
        commands = [usecases.Reservation(f"{size}-{index}", 1, lines({"MUG": 1}), "GBP") for index in range(size)]
        async with shop.db.transaction() as tx:
            statements: list[object] = []
            tx.add_query_logger(statements.append)
            await usecases.change_reservations(tx, commands, shop.clock.now(), hold=HOLD, units_per_sku_max=9)
            tx.remove_query_logger(statements.append)
        counts.append(len(statements))
    assert counts[1] == counts[2] <= 6
