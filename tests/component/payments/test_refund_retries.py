"""A refund that failed is asked for again, over PostgreSQL and the simulated provider (S-18)."""

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
