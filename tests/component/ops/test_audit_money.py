"""Laws of the audit about orders and money: each planted breach is exactly one line (R-6.4)."""

from typing import Any

import pytest

from simulators.views import IntentView, OrderLedger
from tests.component.ops.books import ORDER, OTHER, Audited

pytestmark = pytest.mark.requirement("R-6.4")


def at_stripe(order_id: str = ORDER, *, captured: int = 0, refunded: int = 0, payable: str = "") -> OrderLedger:
    """What Stripe says about an order."""
    return OrderLedger(
        order_id=order_id,
        times_charged=int(captured > 0),
        captured={"gbp": captured},
        refunded={"gbp": refunded},
        disputed={},
        net={},
        refund_pending={},
        payable=[payable] if payable else [],
        intents=[],
        sessions=[],
        refunds=[],
        disputes=[],
        entries=[],
    )


async def test_books_that_agree_have_no_breach(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.order(state="DELIVERED", payment_captured_minor=300, payment_refunded_minor=100)
        await books.attempt()
        await books.booked("captured", 300)
        await books.booked("refunded", 100, object_id="re_1")
        books.witnesses["stripe"] = {ORDER: at_stripe(captured=300, refunded=100)}
        assert await books.lines(at_rest=True) == []


@pytest.mark.requirement("R-1.1")
async def test_a_payment_of_two_orders(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.order(ORDER)
        await books.order(OTHER)
        await books.put("orders", "order_payments", provider_object_id="pi_1", order_id=OTHER, added_at="2026-03-02Z")
        await books.attempt(ORDER)
        assert await books.lines() == [f"one_order_per_payment: pi_1 {ORDER}: belongs to order {OTHER} for orders"]


async def test_a_paid_attempt_of_no_order(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.attempt(ORDER)
        assert await books.lines() == [f"one_order_per_payment: pi_1 {ORDER}: was paid, and there is no such order"]


async def test_a_payment_that_the_provider_knows_for_another_order(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.order(ORDER)
        await books.attempt(ORDER)
        theirs = at_stripe(OTHER)
        paid = {"status": "succeeded", "amount": 300, "amount_received": 300, "currency": "gbp", "payable": False}
        unknown = {"client_secret": None, "latest_charge": None, "error_code": None}
        theirs.intents.append(IntentView(id="pi_1", order_id=OTHER, **paid, **unknown))
        books.witnesses["stripe"] = {OTHER: theirs}
        assert await books.lines() == [f"one_order_per_payment: pi_1 {OTHER}: belongs to order {ORDER} for payments"]


async def test_a_gap_in_the_history(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order()
        await books.entry(ORDER, 3, "CONFIRMED", "PROCESSING")
        await books.connections["orders"].execute("UPDATE orders SET state = 'PROCESSING'")
        assert await books.lines() == [f"history_is_continuous: {ORDER}: entry 3 does not follow the one before"]


async def test_an_entry_that_begins_elsewhere(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order()
        await books.entry(ORDER, 2, "CONFIRMED", "PROCESSING")
        await books.connections["orders"].execute("UPDATE orders SET state = 'PROCESSING'")
        assert await books.lines() == [
            f"history_is_continuous: {ORDER}: entry 2 does not begin where the one before ended"
        ]


async def test_a_state_without_history(audited: Audited) -> None:
    async with audited("orders") as books:
        await books.order()
        await books.connections["orders"].execute("UPDATE orders SET state = 'SHIPPED'")
        assert await books.lines() == [f"history_is_continuous: {ORDER}: is SHIPPED, its history ends at PENDING"]


@pytest.mark.requirement("R-1.17")
async def test_money_that_the_provider_took_and_we_do_not_know(audited: Audited) -> None:
    async with audited("payments") as books:
        await books.booked("captured", 300)
        books.witnesses["stripe"] = {ORDER: at_stripe(captured=600)}
        assert await books.lines() == [
            f"provider_and_ledger_agree: {ORDER}: captured 600 GBP for the provider, 300 for our ledger"
        ]


@pytest.mark.requirement("R-1.17")
async def test_a_refund_that_the_provider_never_made(audited: Audited) -> None:
    async with audited("payments") as books:
        await books.booked("captured", 300)
        await books.booked("refunded", 300, object_id="re_1")
        books.witnesses["stripe"] = {ORDER: at_stripe(captured=300)}
        assert await books.lines() == [
            f"provider_and_ledger_agree: {ORDER}: refunded 0 GBP for the provider, 300 for our ledger"
        ]


async def test_an_order_that_shows_other_money_than_the_ledger(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.order(state="DELIVERED", payment_captured_minor=200)
        await books.booked("captured", 300)
        assert await books.lines() == [
            f"order_and_ledger_agree: {ORDER}: captured 200 GBP for the order, 300 for the ledger"
        ]


@pytest.mark.requirement("R-1.17")
@pytest.mark.parametrize(
    ("fact", "problem"),
    [
        ("refunded", "100 GBP more was given back than taken"),
        ("released", "100 GBP more was released than authorized"),
    ],
)
async def test_a_ledger_below_zero(audited: Audited, fact: str, problem: str) -> None:
    async with audited("payments") as books:
        await books.booked(fact, 100)
        assert await books.lines() == [f"ledger_is_balanced: {ORDER}: {problem}"]


@pytest.mark.requirement("R-1.17")
async def test_a_refund_without_its_entry(audited: Audited) -> None:
    async with audited("payments") as books:
        refund = {"id": "r1", "order_id": ORDER, "number": 1, "provider": "stripe", "source_id": "ch_1"}
        await books.put("payments", "refunds", **refund, amount_minor=100, currency="GBP", state="SUCCEEDED")
        assert await books.lines() == [f"ledger_is_balanced: {ORDER}: refunds of 100 GBP succeeded, the ledger has 0"]


@pytest.mark.requirement("R-1.6")
async def test_a_cancelled_order_that_can_still_be_paid(audited: Audited) -> None:
    async with audited("orders", "payments") as books:
        await books.order(state="CANCELLED")
        await books.attempt(state="PAYABLE")
        expected = [f"ended_orders_cannot_be_paid: {ORDER} pi_1: can be paid, and the order is CANCELLED"]
        assert await books.lines() == expected
        await books.connections["payments"].execute("UPDATE payment_attempts SET state = 'CANCELED'")
        assert await books.lines() == []
        books.witnesses["stripe"] = {ORDER: at_stripe(payable="pi_1")}
        assert await books.lines() == expected


async def test_a_cancelled_order_whose_money_was_kept(audited: Audited) -> None:
    async with audited("orders") as books:
        amounts = {"captured": 300, "refunded": 100, "refund_pending": 50}
        changes: dict[str, Any] = {f"payment_{name}_minor": amount for name, amount in amounts.items()}
        await books.order(state="CANCELLED", **changes)
        expected = [f"no_money_without_goods: {ORDER}: is cancelled, and 150 GBP was neither given back nor asked for"]
        assert await books.lines() == expected
        await books.entry(ORDER, 3, "CANCELLED", "ARCHIVED")
        await books.connections["orders"].execute(
            "UPDATE orders SET state = 'ARCHIVED', progress = '{\"archived_from\": \"CANCELLED\"}'"
        )
        assert await books.lines() == expected
