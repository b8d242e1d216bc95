"""Refunds asked for again, and of amounts that the provider has no unit for; over PostgreSQL and the simulator."""

import pytest
from onefold.payments.v1 import payments_events_pb2

from services.chassis.ids import new_id
from tests.component.payments.counter import Counter, refund

pytestmark = pytest.mark.requirement("S-18", "R-1.12")


async def _fail(counter: Counter, order_id: str, provider_refund_id: str) -> list[int]:
    """A refund that went through comes back; the amounts that were told as failed so far."""
    await counter.sim.client.stripe.fail_refund(provider_refund_id)
    await counter.tell()
    told = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.RefundFailed)]
    return [m.amount.amount_minor for m in told]


async def test_a_refund_in_two_parts_is_given_back_in_full_whichever_part_fails(counter: Counter) -> None:
    order_id, refund_id = new_id(), new_id()

    async def ask(amount: int) -> int:
        await counter.hear(refund(order_id, amount, refund_id))
        await counter.settle_operations()
        await counter.tell()
        return (await counter.sim.client.stripe.ledger(order_id)).refunded["usd"]

    await counter.pay(order_id)
    secret = await counter.foreign_intent(order_id)
    await counter.sim.client.stripe.confirm(secret, "pm_card_visa")
    await counter.tell()
    assert await ask(2_000) == 2_000
    first, second = await counter.database.fetch("SELECT provider_refund_id AS id FROM refunds ORDER BY id")
    assert await _fail(counter, order_id, first["id"]) == [1_000]
    assert await ask(1_000) == 2_000
    assert await _fail(counter, order_id, second["id"]) == [1_000, 1_000]
    assert await ask(1_000) == 2_000


@pytest.mark.requirement("R-1.20")
@pytest.mark.parametrize(
    ("currency", "asked", "moved"),
    [
        ("MGA", [3_350, 50, 6_600], [3_300, 100, 6_600]),
        ("MGA", [50, 3_340, 3_330, 3_280], [0, 3_300, 3_400, 3_300]),
        ("KWD", [3_335, 3_335], [3_330, 3_340]),
    ],
)
async def test_what_the_provider_has_no_unit_for_parks_nothing_and_is_told(
    counter: Counter, currency: str, asked: list[int], moved: list[int]
) -> None:
    order_id = new_id()
    await counter.pay(order_id, amount=10_000, currency=currency)
    await counter.tell()
    for amount in asked:
        assert await counter.hear(refund(order_id, amount, currency=currency)) == {"RefundRequested": "APPLIED"}
        await counter.settle_operations()
        await counter.tell()
    told = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.RefundSucceeded)]
    assert [m.amount.amount_minor for m in told] == moved
    assert (await counter.get(order_id)).payment.snapshot.refunded_minor == sum(moved)
    assert await counter.open_incidents() == []
