"""The reconciler: missed webhooks come in, orphans end, drifts heal (R-1.6, R-1.18)."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2

from services.chassis.ids import new_id
from services.chassis.messages import timestamp
from services.chassis.operations import Retryable
from services.payments.domain import AttemptSeen
from services.payments.providers.stripe import adapter, objects
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


@pytest.mark.requirement("R-1.18", "F-4")
async def test_a_run_is_bounded_and_alone(counter: Counter) -> None:
    ago = timestamp(counter.clock.now() - timedelta(days=31))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(**{"from": ago}), timeout=10.0)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    calls = [counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0) for _ in range(3)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    codes = [answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 2
    await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)


@pytest.mark.requirement("R-1.6", "R-1.18")
async def test_an_orphan_whose_events_are_all_processed_is_ended(counter: Counter) -> None:
    order_id = new_id()
    ours = await counter.create(order_id)
    await counter.foreign_intent(order_id)
    assert len((await counter.sim.client.stripe.ledger(order_id)).payable) == 2
    await counter.tell()
    await counter.database.fetch("DELETE FROM provider_objects WHERE object_id <> $1", ours.attempt.provider_object_id)
    await counter.database.fetch("DELETE FROM payment_attempts WHERE number > 1")
    await counter.database.fetch("DELETE FROM operations WHERE kind = 'cancel'")
    done = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    await counter.settle_operations()
    assert (done.orphans_ended, done.events_recovered) == (1, 0)
    assert (await counter.sim.client.stripe.ledger(order_id)).payable == [ours.attempt.provider_object_id]
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_UNPAID


@pytest.mark.requirement("R-1.18", "R-1.14")
@pytest.mark.parametrize("apart", [timedelta(hours=-1), timedelta(hours=1)])
async def test_a_drift_is_healed_whatever_our_clock_says(counter: Counter, apart: timedelta) -> None:
    order_id = new_id()
    created = await counter.create(order_id)
    await counter.sim.client.stripe.confirm(created.client_secret, "pm_card_authenticationRequired")
    await counter.tell()
    await counter.sim.client.stripe.authenticate(created.attempt.provider_object_id, succeed=False)
    await counter.tell_nothing()
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_REQUIRES_ACTION
    counter.clock.advance(apart)
    window = service_pb2.ReconcilePaymentsRequest(until=timestamp(counter.clock.now() + timedelta(hours=2)))
    done = await counter.stub.ReconcilePayments(window, timeout=10.0)
    assert (done.events_recovered, done.incidents) == (0, 0)
    assert (await counter.get(order_id)).payment.attempts[0].state == payments_pb2.ATTEMPT_STATE_PAYABLE


@pytest.mark.requirement("R-1.18")
async def test_an_object_that_cannot_be_taken_in_stops_no_other(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = new_id(), new_id()
    for order_id in (bad, good):
        await counter.pay(order_id)
    await counter.tell_nothing()
    counter.poison(bad, monkeypatch)
    done = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    assert done.incidents == 1
    assert await counter.open_incidents() == ["object_not_reconciled"]
    assert (await counter.get(good)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    await counter.database.fetch("UPDATE payables SET look_at = $1", counter.clock.now())
    await counter.jobs.ask_provider()
    assert await counter.open_incidents() == ["object_not_reconciled", "provider_not_followed"]
    assert await counter.jobs.ask_provider() == 0


@pytest.mark.requirement("R-1.18")
async def test_an_object_that_cannot_be_read_stops_no_other(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    strange, good = new_id(), new_id()
    for order_id in (strange, good):
        await counter.pay(order_id)
    await counter.tell_nothing()
    read = objects.intent

    def intent(row: objects.Object, *arguments: Any, **more: Any) -> AttemptSeen:
        return read({**row, "status": "new_status"} if objects.order_of(row) == strange else row, *arguments, **more)

    monkeypatch.setattr(objects, "intent", intent)
    done = await counter.stub.ReconcilePayments(service_pb2.ReconcilePaymentsRequest(), timeout=10.0)
    assert done.incidents == 1
    assert (await counter.get(good)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID


@pytest.mark.requirement("R-1.18", "R-1.6")
async def test_what_a_long_outage_hides_is_looked_at(counter: Counter) -> None:
    await counter.jobs.reconcile()
    order_id = new_id()
    await counter.pay(order_id)
    counter.clock.advance(timedelta(days=2))
    await counter.jobs.reconcile()
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID


@pytest.mark.requirement("R-1.18")
async def test_a_run_that_fails_moves_nothing_and_is_told_to_a_person(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(*_: Any) -> Any:
        raise Retryable("403: the key lacks a right")

    interval = timedelta(milliseconds=counter.settings.reconcile_interval_ms)
    monkeypatch.setattr(counter.context.provider, "events", events)
    await counter.jobs.reconcile()
    order_id = new_id()
    await counter.pay(order_id)
    counter.clock.advance(2 * interval)
    await counter.jobs.reconcile()
    assert await counter.open_incidents() == []
    counter.clock.advance(interval)
    await counter.jobs.reconcile()
    assert await counter.open_incidents() == ["reconciler_overdue"]
    monkeypatch.undo()
    await counter.jobs.reconcile()
    assert await counter.open_incidents() == []
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID


@pytest.mark.requirement("R-1.18", "F-10")
@pytest.mark.parametrize(("times", "verdict"), [(2, payments_pb2.VERDICT_PAID), (3, payments_pb2.VERDICT_UNPAID)])
async def test_a_page_that_cannot_be_had_at_once_is_asked_for_again(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, times: int, verdict: payments_pb2.Verdict.ValueType
) -> None:
    monkeypatch.setattr(adapter, "_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(adapter, "_PAGE", 1)
    order_id = new_id()
    await counter.pay(order_id)
    await counter.sim.client.faults.api(vendor="stripe", operation="events.list", kind="rate_limit", times=times)
    await counter.jobs.reconcile()
    assert (await counter.get(order_id)).payment.snapshot.verdict == verdict


@pytest.mark.requirement("R-1.18", "R-1.14", "F-6")
async def test_a_customer_who_has_to_act_in_checkout_is_told_of_once_however_often_the_lists_are_read(
    counter: Counter,
) -> None:
    order_id = new_id()
    created = await counter.create(order_id, flow=payments_pb2.FLOW_CHECKOUT)
    session = created.attempt.provider_object_id
    await counter.sim.client.stripe.pay_session(session, "pm_card_authenticationRequired")
    await counter.tell()
    told = await counter.names(order_id)
    assert told.count("PaymentRequiresAction") == 1
    for _ in range(3):
        counter.clock.advance(timedelta(minutes=5))
        await counter.jobs.reconcile()
    assert await counter.names(order_id) == told
