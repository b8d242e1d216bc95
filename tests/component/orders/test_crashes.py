"""A try dies between two phases: the order is completed, or nothing of it is left (SAGA 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.chassis.errors import DependencyUnavailable, Internal, LostRace
from services.orders.partners import Inventory
from services.orders.usecases.placing import Held, Placed, Standing
from tests.component.orders.shop import Shop, command, refusal, wanted


async def claimed(shop: Shop, request_id: str = "r", **lines: int) -> Standing:
    (standing,) = await shop.placement.placing.claim([command(wanted(request_id, **lines))])
    assert isinstance(standing, Standing)
    return standing


async def reserved(shop: Shop, standing: Standing) -> Held:
    (held,) = await shop.placement.placing.reserve([standing])
    assert isinstance(held, Held)
    return held


@pytest.mark.requirement("S-5", "S-6", "R-2.13")
@pytest.mark.parametrize("held_before", [False, True])
async def test_the_completer_places_what_a_dead_try_began(shop: Shop, held_before: bool) -> None:
    await shop.stocked("MUG", 3)
    standing = await claimed(shop, MUG=2)
    if held_before:
        await reserved(shop, standing)
    assert await shop.jobs.complete() == 0  # its lease still runs

    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1

    order = (await shop.create(wanted("r", MUG=2))).order
    assert order.order_id == standing.order_id
    assert await shop.phases() == ["DONE"]
    assert (await shop.available("MUG"), await shop.count("orders")) == (1, 1)
    assert await shop.jobs.complete() == 0


@pytest.mark.requirement("S-5", "R-2.13")
async def test_a_retry_goes_on_where_the_dead_try_stopped(shop: Shop) -> None:
    await shop.stocked("MUG", 3)
    standing = await claimed(shop, MUG=2)
    await reserved(shop, standing)
    assert (await refusal(shop.create(wanted("r", MUG=2)))).reason == "REQUEST_IN_PROGRESS"

    await shop.let_leases_end()
    order = (await shop.create(wanted("r", MUG=2))).order
    assert order.order_id == standing.order_id
    assert await shop.available("MUG") == 1


@pytest.mark.requirement("S-5")
async def test_a_paused_try_places_nothing_after_it_was_taken_over(shop: Shop) -> None:
    await shop.stocked("MUG", 3)
    held = await reserved(shop, await claimed(shop, MUG=2))
    await shop.let_leases_end()
    order = (await shop.create(wanted("r", MUG=2))).order

    (late,) = await shop.placement.placing.place([held])

    assert isinstance(late, LostRace)
    assert order.order_id == held.standing.order_id
    assert (await shop.available("MUG"), await shop.count("orders")) == (1, 1)
    assert await shop.said(order.order_id) == ["OrderCreated"]


@pytest.mark.requirement("S-6", "S-7")
async def test_the_hold_is_made_again_before_the_order_is_placed(shop: Shop) -> None:
    await shop.stocked("MUG", 2)
    standing = await claimed(shop, MUG=2)
    await reserved(shop, standing)
    shop.clock.advance(timedelta(minutes=11))
    assert await shop.stock_jobs.lapse_holds() == 1
    assert await shop.available("MUG") == 2

    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1
    await shop.carry()

    assert await shop.available("MUG") == 0
    assert await shop.database.fetchval("SELECT reservation FROM orders") == 2
    states = [row["state"] for row in await shop.stock.fetch("SELECT state FROM holds ORDER BY reservation")]
    assert states == ["LAPSED", "ATTACHED"]


@pytest.mark.requirement("S-6")
async def test_a_lapsed_hold_whose_units_are_gone_ends_the_request(shop: Shop) -> None:
    await shop.stocked("MUG", 2)
    await reserved(shop, await claimed(shop, MUG=2))
    shop.clock.advance(timedelta(minutes=11))
    await shop.stock_jobs.lapse_holds()
    await shop.order(MUG=1)

    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1

    assert (await refusal(shop.create(wanted("r", MUG=2)))).reason == "CART_REJECTED"
    assert (await shop.count("orders"), await shop.open_holds()) == (1, 1)


async def made_hopeless(shop: Shop) -> None:
    """As if the last try had died long after the first."""
    await shop.database.fetch(
        "UPDATE idempotency_keys SET fence = $1, created_at = created_at - $2::interval",
        shop.settings.placing_tries_max,
        timedelta(milliseconds=shop.settings.placing_abandon_after_ms),
    )
    await shop.let_leases_end()


@pytest.mark.requirement("S-6")
async def test_what_cannot_be_completed_is_undone_with_a_tombstone(shop: Shop) -> None:
    await shop.stocked("MUG", 2)
    standing = await claimed(shop, MUG=2)
    paused = standing  # its reserve is still under way
    await made_hopeless(shop)

    assert await shop.jobs.complete() == 1
    await reserved_late(shop, paused)

    assert (await refusal(shop.create(wanted("r", MUG=2)))).reason == "PLACING_ABANDONED"
    assert await shop.stock.fetchval("SELECT state FROM holds WHERE reservation = 1") == "RELEASED"
    assert await shop.count("orders") == 0


async def reserved_late(shop: Shop, standing: Standing) -> None:
    """A reserve under number 1 that arrives after the undo; the try then takes the next number and cannot place."""
    (late,) = await shop.placement.placing.reserve([standing])
    assert isinstance(late, Held) and late.reservation == 2
    (placed,) = await shop.placement.placing.place([late])
    assert isinstance(placed, LostRace)


@pytest.mark.requirement("S-6")
async def test_a_hold_that_was_reserved_is_given_back_when_the_request_is_given_up(shop: Shop) -> None:
    await shop.stocked("MUG", 2)
    await reserved(shop, await claimed(shop, MUG=2))
    await made_hopeless(shop)
    assert await shop.jobs.complete() == 1
    assert (await shop.available("MUG"), await shop.open_holds()) == (2, 0)


@pytest.mark.requirement("S-5")
async def test_a_lost_answer_of_the_commit_is_recognised(shop: Shop) -> None:
    """The batch is repeated as a whole: what was placed is found placed, by the same try."""
    await shop.stocked("MUG", 5)
    commands = [command(wanted("a", MUG=1)), command(wanted("b", MUG=1))]
    first = await shop.placement.placing.flush(commands)
    second = await shop.placement.placing.flush([*commands, command(wanted("c", MUG=1))])
    assert all(isinstance(each, Placed) for each in (*first, *second))
    assert await shop.count("orders") == 3
    assert await shop.available("MUG") == 2


@pytest.mark.requirement("S-5", "S-2")
async def test_inventory_away_is_unavailable_and_the_same_request_works_later(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    placing = shop.placement.placing
    inventory, placing._inventory = placing._inventory, Away()  # type: ignore[assignment]
    error = await refusal(shop.create(wanted("r", MUG=1)))
    assert isinstance(error, DependencyUnavailable)
    placing._inventory = inventory
    assert (await shop.create(wanted("r", MUG=1))).order.order_id
    assert await shop.count("orders") == 1


@pytest.mark.requirement("S-6", "R-2.13")
async def test_an_outage_of_inventory_refuses_nothing_for_good(shop: Shop) -> None:
    """Every retry and every run of the completer is one more try; the caller was told that it may repeat."""
    await shop.stocked("MUG", 5)
    placing = shop.placement.placing
    inventory, placing._inventory = placing._inventory, Away()  # type: ignore[assignment]
    assert isinstance(await refusal(shop.create(wanted("r", MUG=1))), DependencyUnavailable)
    for _ in range(shop.settings.placing_tries_max + 2):
        await shop.let_leases_end()
        assert await shop.jobs.complete() == 0
    placing._inventory = inventory
    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1
    assert (await shop.phases(), await shop.count("orders")) == (["DONE"], 1)


class Away:
    """Inventory, when the network is down."""

    async def reserve(self, _: object) -> None:
        raise DependencyUnavailable("inventory is away")


@pytest.mark.requirement("S-6")
async def test_a_request_that_cannot_be_undone_holds_up_no_other(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    stuck = await claimed(shop, "stuck", MUG=1)
    await claimed(shop, "undone", MUG=1)
    await made_hopeless(shop)
    await claimed(shop, "sound", MUG=1)
    await shop.let_leases_end()
    completer = shop.placement.completer
    completer._inventory = Stubborn(completer._inventory, stuck.order_id)  # type: ignore[assignment]
    assert await shop.jobs.complete() == 2
    assert await shop.phases() == ["CLAIMED", "DONE", "FAILED"]
    assert (await refusal(shop.create(wanted("undone", MUG=1)))).reason == "PLACING_ABANDONED"


@dataclass
class Stubborn:
    """Inventory with a defect: it cannot undo what belongs to one order."""

    inventory: Inventory
    order_id: str

    async def undo(self, reservations: Sequence[tuple[str, int]]) -> None:
        if any(order_id == self.order_id for order_id, _ in reservations):
            raise Internal("x")
        await self.inventory.undo(reservations)


@pytest.mark.requirement("S-6")
async def test_a_request_that_cannot_be_understood_holds_up_no_other(shop: Shop) -> None:
    await shop.stocked("MUG", 2)
    await claimed(shop, "broken", MUG=1)
    await claimed(shop, "sound", MUG=1)
    await shop.database.fetch("UPDATE idempotency_keys SET body = '\\xff' WHERE request_id = 'broken'")
    await shop.let_leases_end()
    assert await shop.jobs.complete() == 1
    assert await shop.phases() == ["CLAIMED", "DONE"]
