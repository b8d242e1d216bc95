"""Laws of the audit about stock, parcels and mails: each planted breach is exactly one line (R-6.4)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.fulfillment.providers.printful import PrintfulProvider
from simulators.views import ParcelLedger, ParcelView, PrintfulOrderView
from tests.component.ops.books import LONG_AGO, ORDER, OTHER, RECENTLY, Audited, name

pytestmark = pytest.mark.requirement("R-6.4")
EVENT = name("an event")


def at_printful(*parcels: int, units: int = 0) -> dict[str, ParcelLedger]:
    """What Printful says about ORDER: parcels by id, and units of MUG's variant."""
    external_id = PrintfulProvider.external_id(ORDER, 1)
    blank = {"status": "shipped", "delivery_status": "in_transit", "carrier": "", "tracking_number": ""}
    views = [ParcelView(id=each, tracking_url="", units={}, **blank) for each in parcels]
    counts: dict[str, Any] = {"times_created": 1, "times_charged": 1, "times_charge_returned": 0, "charged": {}}
    counts |= {"parcels_sent": len(parcels), "parcels_delivered": 0, "parcels_returned": 0, "entries": []}
    order = PrintfulOrderView(id=9, external_id=external_id, status="fulfilled", items={}, parcels=views)
    sent = {71: units} if units else {}
    ledger = ParcelLedger(external_id=external_id, status="fulfilled", units_sent=sent, orders=[order], **counts)
    return {external_id: ledger}


async def test_books_that_agree_have_no_breach(audited: Audited) -> None:
    async with audited("orders", "inventory", "fulfillment", "emails") as books:
        await books.order(state="DELIVERED")
        await books.line(shipped=3)
        await books.level(on_hand=7, shipped=3)
        await books.hold(state="COMMITTED", reserved=3, shipped=3)
        await books.fulfillment()
        await books.shipment("5")
        parcel = {"shipment_id": name("parcel 5"), "order_id": ORDER, "place": 1, "state": "DELIVERED", "lines": []}
        blank = {"carrier": "", "tracking_number": "", "tracking_url": "", "told": True, "sent_at": LONG_AGO}
        await books.put("orders", "parcels", **parcel, **blank)
        books.witnesses["printful"] = at_printful(5, units=3)
        assert await books.lines(at_rest=True) == []


@pytest.mark.requirement("R-3.3")
async def test_a_counter_that_the_ledger_does_not_explain(audited: Audited) -> None:
    async with audited("inventory") as books:
        await books.level(on_hand=10)
        await books.connections["inventory"].execute("UPDATE stock SET on_hand = 11")
        assert await books.lines() == [
            "stock_ledger_equals_counters: MUG riga: on_hand is 11, the ledger says 10",
        ]


@pytest.mark.requirement("R-3.3")
async def test_reserved_units_without_a_hold(audited: Audited) -> None:
    async with audited("inventory") as books:
        await books.level(on_hand=10, reserved=2)
        assert await books.lines() == ["reserved_equals_holds: MUG riga: reserved is 2, open holds have 0"]


@pytest.mark.requirement("R-3.3")
async def test_stock_below_zero(audited: Audited) -> None:
    async with audited("inventory") as books:
        await books.lift("inventory", "stock", "stock_reserved_is_on_hand")
        await books.level(on_hand=1, reserved=2)
        await books.hold(state="TENTATIVE", reserved=2)
        await books.connections["inventory"].execute("UPDATE holds SET lapses_at = now() + interval '1 hour'")
        assert await books.lines() == ["stock_is_never_negative: MUG riga: on hand 1, reserved 2, shipped 0"]


@pytest.mark.requirement("S-7")
async def test_a_hold_of_an_order_that_has_ended(audited: Audited) -> None:
    async with audited("orders", "inventory") as books:
        await books.order(state="CANCELLED")
        await books.level(reserved=2)
        await books.hold(reserved=2)
        assert await books.lines() == [
            f"holds_belong_to_live_orders: {ORDER}: 2 units are ATTACHED, and the order is CANCELLED"
        ]


@pytest.mark.requirement("S-7")
async def test_a_hold_of_no_order(audited: Audited) -> None:
    async with audited("orders", "inventory") as books:
        await books.level(reserved=2)
        await books.hold(OTHER, reserved=2)
        assert await books.lines() == [
            f"holds_belong_to_live_orders: {OTHER}: 2 units are ATTACHED, and the order is unknown"
        ]


@pytest.mark.requirement("S-7")
async def test_a_hold_that_should_have_lapsed(audited: Audited) -> None:
    async with audited("inventory") as books:
        await books.level(reserved=2)
        await books.hold(state="TENTATIVE", reserved=2)
        assert await books.lines() == [
            f"holds_belong_to_live_orders: {ORDER}: reservation 1 should have lapsed at 2026-03-02 09:30:00"
        ]


async def test_goods_and_all_of_the_money(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order(state="DELIVERED", payment_captured_minor=300, payment_refunded_minor=300)
        await books.line(shipped=3, returned=1)
        assert await books.lines() == [
            f"goods_and_refund_never_both: {ORDER}: is DELIVERED: 2 units left, and 300 GBP went back"
        ]
        incident = {"subject": ORDER, "order_id": ORDER, "state": "OPEN", "opened_at": LONG_AGO}
        await books.put("orders", "incidents", id=name("i"), kind="key_parked", **incident)
        assert len(await books.lines()) == 1, "an incident about something else excuses nothing"
        await books.put("orders", "incidents", id=name("j"), kind="refunded_without_return", **incident)
        assert await books.lines() == []


async def test_a_parcel_that_we_do_not_know(audited: Audited) -> None:
    async with audited("fulfillment") as books:
        await books.fulfillment()
        await books.shipment("5")
        books.witnesses["printful"] = at_printful(5, 6)
        assert await books.lines() == [
            f"parcels_are_the_providers: {ORDER} parcel 6: 1 times for the provider, 0 for fulfillment"
        ]


async def test_a_parcel_that_orders_was_not_told_of(audited: Audited) -> None:
    async with audited("orders", "fulfillment") as books:
        await books.fulfillment()
        await books.shipment("5")
        assert await books.lines() == [
            f"parcels_reach_orders: {ORDER} parcel {name('parcel 5')}: 1 times for fulfillment, 0 for orders"
        ]


@pytest.mark.requirement("S-19")
async def test_units_that_shipped_and_never_left_the_stock(audited: Audited) -> None:
    async with audited("orders", "inventory") as books:
        await books.order(state="DELIVERED")
        await books.line(shipped=3)
        assert await books.lines() == [
            f"shipped_units_left_the_stock: {ORDER} line 1: 3 shipped for orders, 0 left the stock"
        ]


@pytest.mark.requirement("R-4.2")
async def test_goods_that_left_twice(audited: Audited) -> None:
    async with audited("orders", "inventory") as books:
        await books.order(state="DELIVERED")
        await books.line(shipped=3)
        await books.level(on_hand=7, shipped=3)
        await books.hold(state="COMMITTED", reserved=3, shipped=3)
        books.witnesses["printful"] = at_printful(units=6)
        assert await books.lines() == [
            f"provider_sent_what_was_shipped: {ORDER} variant 71: 6 units left the provider, 3 shipped for orders"
        ]


async def planned(books: Any, state: str) -> None:
    """A mail in the journal."""
    times = {"occurred_at": RECENTLY, "next_try_at": RECENTLY}
    settled = None if state == "PLANNED" else RECENTLY
    rest = {"kind": "order_shipped", "subject": ORDER, "state": state, "tries": 2, "settled_at": settled}
    await books.put("emails", "mails", event_id=EVENT, **times, **rest)


async def test_an_event_without_its_mail(audited: Audited) -> None:
    async with audited("emails") as books:
        await books.claimed("emails", EVENT, "onefold.orders.v1", 4)
        assert await books.lines() == [f"mails_follow_events: {EVENT}: was applied and plans no mail"]


@pytest.mark.requirement("S-28")
async def test_a_mail_that_was_forgotten_after_its_time_is_not_missed(audited: Audited) -> None:
    async with audited("emails") as books:
        claimed_at = (datetime.now(UTC) - timedelta(days=70)).isoformat()
        await books.claimed("emails", EVENT, "onefold.orders.v1", 4, claimed_at)
        assert await books.lines() == []


async def test_a_mail_from_nowhere(audited: Audited) -> None:
    async with audited("emails") as books:
        await planned(books, "SENT")
        assert await books.lines() == [f"mails_follow_events: {EVENT}: has a mail and was not applied"]


@pytest.mark.parametrize("times", [0, 2])
async def test_a_mail_that_did_not_arrive_once(audited: Audited, times: int) -> None:
    async with audited("emails") as books:
        await books.claimed("emails", EVENT, "onefold.orders.v1", 4)
        await planned(books, "SENT")
        books.witnesses["letters"] = [{"message_id": f"<{EVENT}@shop.example>"}] * times
        assert await books.lines() == [
            f"mails_arrive_once: {EVENT}: its mail arrived {times} times, its journal says 1"
        ]


@pytest.mark.parametrize("state", ["PLANNED", "PARKED"])
async def test_a_mail_that_is_not_sent(audited: Audited, state: str) -> None:
    async with audited("emails") as books:
        await books.claimed("emails", EVENT, "onefold.orders.v1", 4)
        await planned(books, state)
        assert await books.lines() == [f"mails_are_sent: emails {EVENT} order_shipped: is {state} after 2 tries: "]
