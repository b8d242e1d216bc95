"""What orders tells and asks, by the door for events: attached, committed, released, shipped, returned; each once."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.consumer.apply import Applier
from services.chassis.inbox import Outcome
from services.inventory import events, usecases
from services.inventory.config import InventorySettings
from services.inventory.domain import Hold
from services.inventory.jobs import InventoryJobs
from services.inventory.usecases.orders import CONTRADICTION
from tests.component.inventory.shop import HOLD, Shop

ORDER = "0196f0c2-0000-7000-8000-000000000001"
CONTEXT = common_pb2.EventContext(order_id=ORDER, version=1)


def units(quantity: int) -> list[common_pb2.LineQuantity]:
    return [common_pb2.LineQuantity(line=1, sku="MUG", quantity=quantity)]


def created(quantity: int = 4) -> orders_pb2.OrderCreated:
    return orders_pb2.OrderCreated(context=CONTEXT, reservation=1, lines=units(quantity))


def commit(quantity: int = 4, *, number: int = 1) -> orders_pb2.StockCommitRequested:
    return orders_pb2.StockCommitRequested(
        context=CONTEXT, request_id=f"commit-{number}", round=number, lines=units(quantity)
    )


def release(quantity: int = 0, *, number: int = 1, request_id: str = "") -> orders_pb2.StockReleaseRequested:
    lines = units(quantity) if quantity else []
    return orders_pb2.StockReleaseRequested(
        context=CONTEXT, request_id=request_id or f"release-{number}", round=number, lines=lines
    )


def ship(quantity: int, parcel: str = "p1") -> orders_pb2.StockShipRequested:
    return orders_pb2.StockShipRequested(
        context=CONTEXT, request_id=f"ship-{parcel}", shipment_id=parcel, lines=units(quantity)
    )


def give_back(quantity: int) -> orders_pb2.StockReturnRequested:
    return orders_pb2.StockReturnRequested(
        context=CONTEXT, request_id="return-1", return_id="r1", lines=units(quantity)
    )


@pytest.fixture
async def reserved(shop: Shop) -> Shop:
    """Ten mugs in London, four of them held for the order."""
    await shop.stocked("MUG", london=10)
    (hold,) = await shop.reserve((ORDER, {"MUG": 4}))
    assert isinstance(hold, Hold)
    return shop


async def answers(shop: Shop) -> list[Any]:
    return await shop.told("StockCommitted", "StockUnavailable", "StockReleased", "StockShipped", "StockReturned")


@pytest.mark.requirement("S-7", "S-19", "S-2")
async def test_the_whole_road_of_an_order(reserved: Shop, settings: InventorySettings) -> None:
    assert await reserved.tell(created()) == [Outcome.APPLIED]
    reserved.clock.advance(10 * HOLD)
    assert await InventoryJobs(reserved.db, settings, reserved.clock).lapse_holds() == 0
    assert await reserved.tell(commit()) == [Outcome.APPLIED]
    assert await reserved.level("MUG") == (10, 4, 0)
    assert await reserved.tell(ship(3), ship(1, "p2")) == [Outcome.APPLIED] * 2
    assert await reserved.level("MUG") == (6, 0, 4)
    assert await reserved.tell(give_back(2)) == [Outcome.APPLIED]
    assert await reserved.level("MUG") == (8, 0, 4)
    committed, first, second, returned = await answers(reserved)
    assert (committed.request_id, committed.round, committed.locations[0].location) == ("commit-1", 1, "london")
    assert [(sent.request_id, sent.shipment_id) for sent in (first, second)] == [("ship-p1", "p1"), ("ship-p2", "p2")]
    assert (returned.request_id, returned.lines[0].quantity) == ("return-1", 2)
    versions = [answer.context.version for answer in (committed, first, second, returned)]
    assert versions == sorted(set(versions))
    assert await reserved.breaches() == []
    kinds = await reserved.db.fetch("SELECT kind FROM stock_ledger ORDER BY position")
    assert [row["kind"] for row in kinds] == ["adjusted", "reserved", "committed", "shipped", "shipped", "returned"]


@pytest.mark.requirement("R-3.2", "R-3.6", "S-19")
async def test_each_request_delivered_twice_moves_stock_once(reserved: Shop) -> None:
    for message in (created(), commit(), ship(1), release(), give_back(1)):
        assert await reserved.tell(message, message) == [Outcome.APPLIED, Outcome.STALE]
        assert await reserved.tell(message) == [Outcome.STALE]
    assert await reserved.level("MUG") == (10, 0, 1)
    assert len(await answers(reserved)) == 4
    assert await reserved.breaches() == []


@pytest.mark.requirement("R-5.1", "S-25")
async def test_an_event_delivered_twice_counts_once(reserved: Shop) -> None:
    applier = Applier(
        consumer=events.CONSUMER,
        database=reserved.db,
        handler=events.handler(reserved.clock),
        clock=reserved.clock,
        parked_per_minute_max=1,
    )
    confirmed = orders_pb2.OrderConfirmed(context=CONTEXT)
    batch = [reserved.event(message) for message in (created(), confirmed, commit(), release())]
    await applier.apply(batch)
    before = await reserved.told()
    await applier.apply(batch)
    assert await reserved.told() == before
    rows = await reserved.db.fetch("SELECT outcome FROM inbox ORDER BY kafka_offset")
    assert [row["outcome"] for row in rows] == ["APPLIED", "IGNORED", "APPLIED", "APPLIED"]
    assert await reserved.level("MUG") == (10, 0, 0)


@pytest.mark.requirement("S-7")
async def test_a_hold_that_lapsed_before_the_order_is_reserved_again(
    reserved: Shop, settings: InventorySettings
) -> None:
    reserved.clock.advance(HOLD)
    await InventoryJobs(reserved.db, settings, reserved.clock).lapse_holds()
    assert await reserved.tell(created()) == [Outcome.APPLIED]
    assert await reserved.hold_states(ORDER) == ["LAPSED", "ATTACHED"]
    assert await reserved.level("MUG") == (10, 4, 0)
    assert await reserved.told("StockUnavailable") == []
    assert not (await reserved.told("StockReserved"))[-1].HasField("lapses_at")


@pytest.mark.requirement("S-7")
async def test_a_hold_that_lapsed_and_cannot_be_had_again(reserved: Shop, settings: InventorySettings) -> None:
    reserved.clock.advance(HOLD)
    await InventoryJobs(reserved.db, settings, reserved.clock).lapse_holds()
    await reserved.reserve(("rival", {"MUG": 9}))
    assert await reserved.tell(created()) == [Outcome.APPLIED]
    (lost,) = await reserved.told("StockUnavailable")
    assert (lost.request_id, lost.round) == ("", 1)
    assert [(short.sku, short.available, short.requested) for short in lost.shortages] == [("MUG", 1, 4)]
    assert await reserved.level("MUG") == (10, 9, 0)


@pytest.mark.requirement("S-7", "R-1.16")
async def test_a_commit_without_a_hold_reserves_and_commits_in_one(reserved: Shop) -> None:
    await reserved.tell(created(), commit(), release())
    assert await reserved.level("MUG") == (10, 0, 0)
    assert await reserved.tell(commit(number=2)) == [Outcome.APPLIED]
    assert await reserved.hold_states(ORDER) == ["RELEASED", "COMMITTED"]
    assert await reserved.level("MUG") == (10, 4, 0)
    await reserved.tell(release(number=2))
    await reserved.reserve(("rival", {"MUG": 7}))
    assert await reserved.tell(commit(number=3)) == [Outcome.APPLIED]
    assert [(answer.request_id, answer.round) for answer in await reserved.told("StockUnavailable")] == [
        ("commit-3", 3)
    ]
    assert await reserved.level("MUG") == (10, 7, 0)
    assert await reserved.breaches() == []


@pytest.mark.requirement("S-19", "R-3.6")
async def test_a_commit_of_a_round_that_was_released_moves_nothing(reserved: Shop) -> None:
    await reserved.tell(created(), release())
    assert await reserved.tell(commit()) == [Outcome.CONTRADICTION]
    assert await reserved.level("MUG") == (10, 0, 0)
    (incident,) = await reserved.db.fetch("SELECT kind, subject, order_id FROM incidents")
    assert tuple(incident) == (CONTRADICTION, "commit-1", ORDER)
    assert [answer.request_id for answer in await reserved.told("StockUnavailable")] == ["commit-1"]


@pytest.mark.requirement("S-11", "S-19")
async def test_released_in_part_the_rest_ships(reserved: Shop) -> None:
    await reserved.tell(created(), commit(), release(1, request_id="part"), ship(3))
    assert await reserved.level("MUG") == (7, 0, 3)
    assert await reserved.tell(release(request_id="rest")) == [Outcome.APPLIED]
    given = [list(answer.lines) for answer in await reserved.told("StockReleased")]
    assert given == [units(1), []]
    assert await reserved.breaches() == []


@pytest.mark.requirement("S-19", "S-25")
async def test_more_than_the_books_allow_is_not_booked_but_seen(reserved: Shop) -> None:
    await reserved.tell(created(), commit())
    assert await reserved.tell(ship(5)) == [Outcome.CONTRADICTION]
    assert await reserved.level("MUG") == (6, 0, 4)
    assert await reserved.tell(give_back(5)) == [Outcome.CONTRADICTION]
    assert await reserved.level("MUG") == (10, 0, 4)
    (parcel,) = await reserved.told("StockShipped")
    assert list(parcel.lines) == units(4)
    assert len(await reserved.db.fetch("SELECT FROM incidents WHERE state = 'OPEN'")) == 2


@pytest.mark.requirement("S-4", "R-3.9")
async def test_a_commit_of_a_fitting_hold_does_not_wait_for_a_hot_row(reserved: Shop) -> None:
    await reserved.tell(created())
    async with reserved.db.transaction() as rival:
        await rival.execute("SELECT FROM stock FOR NO KEY UPDATE")
        assert await reserved.tell(commit()) == [Outcome.APPLIED]


@pytest.mark.requirement("R-3.3")
async def test_the_ledger_is_append_only(reserved: Shop) -> None:
    for statement in ("UPDATE stock_ledger SET reason = 'x'", "DELETE FROM stock_ledger"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await reserved.db.fetch(statement)


@pytest.mark.requirement("S-6")
async def test_a_hold_that_an_order_owns_cannot_be_undone(reserved: Shop) -> None:
    await reserved.tell(created())
    await reserved.change([usecases.Undo(ORDER, 1)])
    assert await reserved.hold_states(ORDER) == ["ATTACHED"]
    assert await reserved.level("MUG") == (10, 4, 0)


@pytest.mark.requirement("S-6")
async def test_the_purge_forgets_only_what_no_order_came_to_own(shop: Shop, settings: InventorySettings) -> None:
    await shop.stocked("MUG", london=10)
    await shop.reserve(("gone", {"MUG": 1}), (ORDER, {"MUG": 4}), ("refused", {"MUG": 99}))
    await shop.tell(created())
    jobs = InventoryJobs(shop.db, settings, shop.clock)
    shop.clock.advance(HOLD)
    await jobs.lapse_holds()
    await shop.reserve(("fresh", {"MUG": 1}))
    assert await jobs.purge() == 0
    shop.clock.advance(timedelta(days=settings.abandoned_retention_days, seconds=1) - HOLD)
    assert await jobs.purge() == 2
    rows = await shop.db.fetch("SELECT order_id FROM order_stock ORDER BY order_id")
    assert [row["order_id"] for row in rows] == [ORDER, "fresh"]
    assert await shop.breaches() == []
