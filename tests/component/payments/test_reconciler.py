"""The reconciler: missed webhooks come in, orphans end, drifts heal (R-1.6, R-1.18)."""

import pytest
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2

from services.chassis.ids import new_id
from tests.component.payments.counter import Counter


@pytest.mark.requirement("R-1.18", "R-1.6")
async def test_missed_webhooks_come_in_once(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    done = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    assert done.events_recovered > 0
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    said = await counter.names(order_id)
    again = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    assert (again.events_recovered, again.orphans_ended, again.incidents) == (0, 0, 0)
    assert await counter.names(order_id) == said
    assert set(await counter.tell()) <= {"DUPLICATE", "IGNORED"}


@pytest.mark.requirement("R-1.6", "R-1.18")
async def test_an_orphan_beside_a_live_attempt_is_ended(counter: Counter) -> None:
    order_id = new_id()
    ours = await counter.create(order_id)
    await counter.foreign_intent(order_id)
    assert len((await counter.sim.client.stripe.ledger(order_id)).payable) == 2
    done = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    await counter.settle_operations()
    assert done.orphans_ended + done.events_recovered > 0
    assert (await counter.sim.client.stripe.ledger(order_id)).payable == [ours.attempt.provider_object_id]
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_UNPAID
