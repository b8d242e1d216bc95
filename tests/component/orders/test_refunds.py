"""Refunds that failed, from the provider's refusal to an operator's second try, as it is typed."""

import asyncio

import pytest
from onefold.orders.v1 import orders_pb2
from typer.testing import CliRunner, Result

from ops import refunds
from services.orders.store import roots
from tests.component.orders.shop import Shop, wanted
from tests.component.payments.counter import Counter

House = tuple[Shop, Counter]
PAID = 2_395


@pytest.fixture(autouse=True)
def operator(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's environment: the databases, and the settings that orders cannot do without."""
    shop, counter = house
    monkeypatch.setenv("ONEFOLD_PROFILE", "test")
    monkeypatch.setenv("ONEFOLD_ORDERS_DATABASE_URL", shop.database.dsn)
    monkeypatch.setenv("ONEFOLD_PAYMENTS_DATABASE_URL", counter.database.dsn)


async def typed(*arguments: str) -> Result:
    """A command, in a thread, for it has a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, refunds.app, arguments)


async def refund_that_came_back(house: House, request_id: str = "r") -> tuple[str, str]:
    """The order is cancelled, and the customer's bank sent the refund back; the ids of the order and the refund."""
    shop, counter = house
    await shop.stocked("MUG", 5)
    request = wanted(request_id, MUG=2)
    request.payment_flow = orders_pb2.PAYMENT_FLOW_INTENT
    created = await shop.create(request)
    order_id = created.order.order_id
    await counter.sim.client.stripe.confirm(created.payment.client_secret, "pm_card_visa")
    await shop.cancel(order_id, reason="ADMIN")
    await counter.tell()
    await shop.carry(counter)
    made = "SELECT provider_refund_id AS id, refund_id FROM refunds WHERE order_id = $1::uuid"
    row = await counter.database.fetchrow(made, order_id)
    assert row is not None
    await counter.sim.client.stripe.fail_refund(row["id"])
    await counter.tell()
    await shop.carry(counter)
    return order_id, row["refund_id"]


@pytest.mark.requirement("R-1.12", "S-18", "S-29")
async def test_a_refund_that_failed_is_listed_and_tried_again_once(house: House) -> None:
    shop, counter = house
    order_id, refund_id = await refund_that_came_back(house)
    assert (await counter.sim.client.stripe.ledger(order_id)).refunded["gbp"] == 0
    assert "refund_failed" in await shop.incidents()
    assert await counter.open_incidents() == ["refund_failed"]
    listed = (await typed("list")).stdout
    assert f"{refund_id}  {PAID} GBP" in listed, listed

    retry = ["retry", refund_id, "--actor", "ann"]
    done = await typed(*retry)
    assert (done.exit_code, done.stdout) == (0, f"{refund_id} is asked for again\n"), done.output
    again = await typed(*retry)
    assert (again.exit_code, "not one that failed" in again.stdout) == (1, True), again.output
    assert "refund_failed" not in await shop.incidents()
    assert await counter.open_incidents() == []

    await shop.carry(counter)
    assert (await counter.sim.client.stripe.ledger(order_id)).refunded["gbp"] == PAID
    assert (await typed("list")).stdout == "no refund is due that failed\n"
    assert (await shop.said(order_id)).count("RefundRequested") == 2


@pytest.mark.requirement("R-1.12", "S-18")
async def test_a_refund_that_fails_again_is_an_incident_again(house: House) -> None:
    shop, counter = house
    _, refund_id = await refund_that_came_back(house)
    assert (await typed("retry", refund_id, "--actor", "ann")).exit_code == 0
    await shop.carry(counter)
    row = await counter.database.fetchrow("SELECT provider_refund_id AS id FROM refunds WHERE number = 2")
    assert row is not None
    await counter.sim.client.stripe.fail_refund(row["id"])
    await counter.tell()
    await shop.carry(counter)
    assert "refund_failed" in await shop.incidents()
    assert f"{refund_id}  {PAID} GBP" in (await typed("list")).stdout


@pytest.mark.requirement("R-1.12", "S-18")
async def test_what_was_given_back_elsewhere_hides_no_other_refund(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "_WITH_FAILED", roots._WITH_FAILED.replace("LIMIT 100", "LIMIT 1"))
    shop, counter = house
    settled, _ = await refund_that_came_back(house)
    _, due = await refund_that_came_back(house, "other")
    intent = await counter.database.fetchval(
        "SELECT object_id FROM payment_attempts WHERE order_id = $1::uuid", settled
    )
    await counter.refund_at_the_provider(intent, PAID)
    await counter.tell()
    await shop.carry(counter)
    (line,) = (await typed("list", "--limit", "1")).stdout.splitlines()
    assert f"{due}  {PAID} GBP" in line


@pytest.mark.requirement("R-1.12")
async def test_an_unknown_refund_is_refused(house: House) -> None:
    unknown = await typed("retry", "01a1ffa3-0000-7000-8000-000000000000:refund:1", "--actor", "ann")
    assert (unknown.exit_code, "order" in unknown.stdout) == (1, True), unknown.output
