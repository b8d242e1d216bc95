"""Cancelling: closed at once, answered exactly once, and only when nothing can bring money any more (S-9)."""

from datetime import timedelta

import grpc
import pytest
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from services.chassis.ids import new_id
from tests.component.payments.counter import Counter, cancellation, placed

NOTHING = payments_events_pb2.CANCELLATION_OUTCOME_NOTHING_TAKEN
MONEY = payments_events_pb2.CANCELLATION_OUTCOME_MONEY_TAKEN


async def settled(counter: Counter, order_id: str) -> list[tuple[str, int]]:
    said = await counter.said(order_id)
    return [
        (m.cancellation_id, m.outcome) for m in said if isinstance(m, payments_events_pb2.PaymentCancellationSettled)
    ]


@pytest.mark.requirement("S-9")
async def test_a_payable_that_never_existed_is_settled_and_closed(counter: Counter) -> None:
    order_id, cancellation_id = new_id(), new_id()
    await counter.hear(cancellation(order_id, cancellation_id))
    await counter.hear(cancellation(order_id, cancellation_id))
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await counter.create(order_id)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.requirement("S-9")
async def test_the_cancellation_of_a_free_order_is_answered(counter: Counter) -> None:
    order_id, cancellation_id = new_id(), new_id()
    await counter.hear(placed(order_id, 0), cancellation(order_id, cancellation_id))
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]
    (answer,) = await counter.said(order_id)
    assert (answer.snapshot.due_minor, answer.snapshot.currency) == (0, "USD")  # type: ignore[attr-defined]


@pytest.mark.requirement("S-9", "R-1.4")
@pytest.mark.parametrize("flow", [payments_pb2.FLOW_INTENT, payments_pb2.FLOW_CHECKOUT])
async def test_the_attempt_is_ended_before_the_answer(counter: Counter, flow: payments_pb2.Flow.ValueType) -> None:
    order_id, cancellation_id = new_id(), new_id()
    await counter.create(order_id, flow=flow)
    await counter.hear(cancellation(order_id, cancellation_id))
    assert await settled(counter, order_id) == []
    await counter.settle_operations()
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]
    assert (await counter.names(order_id))[-2:] == ["PaymentCanceled", "PaymentCancellationSettled"]
    ledger = await counter.sim.client.stripe.ledger(order_id)
    assert ledger.payable == []
    await counter.tell()
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]


@pytest.mark.requirement("S-9", "S-11", "F-7")
async def test_an_authorised_checkout_is_released_before_the_answer(counter: Counter) -> None:
    order_id, cancellation_id = new_id(), new_id()
    created = await counter.create(order_id, flow=payments_pb2.FLOW_CHECKOUT, manual_capture=True)
    await counter.sim.client.stripe.pay_session(created.attempt.provider_object_id, "pm_card_visa")
    await counter.tell()
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_AUTHORIZED
    await counter.hear(cancellation(order_id, cancellation_id))
    await counter.settle_operations()
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]
    assert await counter.open_incidents() == []
    assert (await counter.get(order_id)).payment.snapshot.authorized_minor == 0
    assert [i.status for i in (await counter.sim.client.stripe.ledger(order_id)).intents] == ["canceled"]


@pytest.mark.requirement("S-9")
async def test_money_that_wins_the_race_is_told(counter: Counter) -> None:
    order_id, cancellation_id = new_id(), new_id()
    await counter.pay(order_id)
    await counter.hear(cancellation(order_id, cancellation_id))
    await counter.settle_operations()
    assert await settled(counter, order_id) == [(cancellation_id, MONEY)]
    assert (await counter.names(order_id)).index("PaymentSucceeded") < len(await counter.names(order_id)) - 1
    assert (await counter.names(order_id))[-1] == "PaymentCancellationSettled"


@pytest.mark.requirement("S-9")
async def test_a_cancel_whose_answer_was_lost_is_looked_up(counter: Counter) -> None:
    order_id, cancellation_id = new_id(), new_id()
    await counter.create(order_id)
    await counter.sim.client.faults.api(
        vendor="stripe", operation="payment_intents.cancel", kind="timeout_after", order_id=order_id, times=1
    )
    await counter.hear(cancellation(order_id, cancellation_id))
    await counter.settle_operations()
    await counter.tell()
    assert (await counter.get(order_id)).payment.attempts[0].state == payments_pb2.ATTEMPT_STATE_CANCELED
    assert await settled(counter, order_id) == []
    await counter.release_leases()
    await counter.settle_operations()
    assert await settled(counter, order_id) == [(cancellation_id, NOTHING)]


@pytest.mark.requirement("S-9")
@pytest.mark.parametrize("succeed", [True, False])
async def test_an_attempt_in_processing_is_waited_for(counter: Counter, succeed: bool) -> None:
    order_id, cancellation_id = new_id(), new_id()
    intent = await counter.pay(order_id, "pm_usBankAccount_success")
    await counter.tell()
    await counter.hear(cancellation(order_id, cancellation_id))
    await counter.settle_operations()
    assert (await counter.names(order_id))[-1] == "PaymentCancellationDelayed"
    await counter.sim.client.stripe.settle(intent, succeed=succeed)
    counter.clock.advance(counter.settings.rules.ask_again)
    assert await counter.jobs.ask_provider() == 1  # the webhook is lost: the provider is asked
    await counter.settle_operations()
    assert await settled(counter, order_id) == [(cancellation_id, MONEY if succeed else NOTHING)]


@pytest.mark.requirement("S-9")
async def test_a_cancellation_that_waits_too_long_is_an_incident(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id, "pm_usBankAccount_success")
    await counter.tell()
    await counter.hear(cancellation(order_id))
    counter.clock.advance(counter.settings.rules.overdue + timedelta(seconds=1))
    await counter.jobs.ask_provider()
    counter.clock.advance(counter.settings.rules.overdue)
    await counter.jobs.ask_provider()
    assert await counter.open_incidents() == ["cancellation_overdue"]
    assert (await counter.names(order_id)).count("IncidentRaised") == 1


@pytest.mark.requirement("S-9", "R-1.6")
async def test_a_late_webhook_of_a_closed_payable_ends_its_intent(counter: Counter) -> None:
    order_id = new_id()
    created = await counter.create(order_id)
    bodies = await counter.webhooks()
    await counter.database.fetch("UPDATE payment_attempts SET object_id = '', payment_id = '', state = 'CANCELED'")
    await counter.database.fetch("DELETE FROM provider_objects")
    await counter.hear(cancellation(order_id))
    await counter.ingest(*bodies)
    await counter.settle_operations()
    assert (await counter.sim.client.stripe.ledger(order_id)).payable == []
    assert created.attempt.provider_object_id
