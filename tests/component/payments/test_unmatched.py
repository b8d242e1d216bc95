"""Announcing incidents about payments without an order, while what they miss arrives."""

import pytest
from onefold.payments.v1 import payments_pb2

from services.chassis import incidents
from services.chassis.ids import new_id
from services.payments.usecases.webhooks import UNMATCHED
from tests.component.payments.counter import Counter, placed


async def unmatched(counter: Counter, order_id: str) -> str:
    """A payment without its order, old enough to be announced; its id at the provider."""
    intent = await counter.sim.client.stripe.confirm(await counter.foreign_intent(order_id), "pm_card_visa")
    assert "INCIDENT" in await counter.tell()
    counter.clock.advance(counter.settings.rules.overdue)
    return str(intent.id)


@pytest.mark.requirement("R-1.13")
async def test_an_incident_that_is_being_closed_is_not_announced(counter: Counter) -> None:
    payment_id = await unmatched(counter, new_id())
    async with counter.database.transaction() as tx:
        assert await incidents.match(tx, UNMATCHED, [payment_id], now=counter.clock.now())
        assert await counter.jobs.raise_unmatched() == 0
    assert await counter.jobs.raise_unmatched() == 0


@pytest.mark.requirement("R-1.13")
async def test_nobody_is_told_of_the_end_of_an_incident_that_was_never_announced(counter: Counter) -> None:
    order_id = new_id()
    await unmatched(counter, order_id)
    await counter.hear(placed(order_id))
    assert await counter.jobs.match_webhooks() > 0
    assert await counter.open_incidents() == []
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert not {"IncidentRaised", "IncidentResolved"} & set(await counter.names(order_id))
