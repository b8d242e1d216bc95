"""S-9, case by case."""

from datetime import timedelta

import pytest

from services.payments.domain import (
    AttemptState,
    CancelPayment,
    CapturePayment,
    ChargeRefunded,
    End,
    Kind,
    Outcome,
    Payable,
    TimePassed,
    asked,
    decide,
)
from services.payments.domain.events import PaymentCancellationSettled
from tests.unit.payments.stories import DUE, NOW, at, create, ended, live, names, paid, run, seen

CANCEL = CancelPayment("c1")
pytestmark = pytest.mark.requirement("S-9")


def test_nothing_was_ever_begun() -> None:
    decision = decide(Payable("o"), CANCEL, NOW)
    assert decision.events == (PaymentCancellationSettled("c1", "NOTHING_TAKEN"),)
    assert decide(decision.payable, CANCEL, NOW).outcome is Outcome.STALE
    refused = decide(decision.payable, create(), NOW)
    assert refused.refusal is not None and refused.refusal.reason == "PAYABLE_CLOSED"


def test_a_create_under_way_is_waited_for_and_its_intent_cancelled() -> None:
    payable = run(Payable("o"), create(), CANCEL)
    assert not [c for c in payable.cancellations if c.settled]
    created = decide(payable, ended(payable, Kind.CREATE, seen=seen(AttemptState.PAYABLE, attempt_id="a1")), NOW)
    assert [o.kind for o in created.operations] == [Kind.CANCEL]
    canceled = seen(AttemptState.CANCELED, 5, end=End.CANCELED)
    done = decide(created.payable, ended(created.payable, Kind.CANCEL, seen=canceled), NOW)
    assert names(done) == ["PaymentCanceled", "PaymentCancellationSettled"]


def test_the_answer_waits_for_the_cancel_call_though_a_webhook_came_first() -> None:
    payable = run(live(), CANCEL)
    canceled = seen(AttemptState.CANCELED, 5, end=End.CANCELED)
    told = decide(payable, canceled, NOW)
    assert names(told) == ["PaymentCanceled"]
    assert names(decide(told.payable, ended(told.payable, Kind.CANCEL, seen=canceled), NOW)) == [
        "PaymentCancellationSettled"
    ]


def test_money_that_wins_is_told_after_its_facts() -> None:
    payable = run(live(), CANCEL)
    done = decide(payable, ended(payable, Kind.CANCEL, seen=seen(AttemptState.SUCCEEDED, 5)), NOW)
    assert names(done) == ["PaymentCaptured", "PaymentSucceeded", "PaymentCancellationSettled"]
    assert done.events[-1] == PaymentCancellationSettled("c1", "MONEY_TAKEN")


def test_processing_is_asked_again_after_each_fact_and_hourly() -> None:
    payable = run(live(), seen(AttemptState.PROCESSING, 3))
    waiting = decide(payable, CANCEL, NOW)
    assert (names(waiting), waiting.operations) == (["PaymentCancellationDelayed"], ())
    assert waiting.payable.look_at == NOW + timedelta(hours=1)
    spoken = decide(waiting.payable, seen(AttemptState.PROCESSING, 4), NOW)
    assert spoken.payable.look_at == NOW
    again = decide(waiting.payable, CancelPayment("c2"), NOW)
    assert names(again) == ["PaymentCancellationDelayed"]
    paid_at_last = decide(again.payable, seen(AttemptState.SUCCEEDED, 9), NOW)
    assert names(paid_at_last)[-2:] == ["PaymentCancellationSettled"] * 2


def test_a_capture_under_way_is_waited_for() -> None:
    payable = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 3), CapturePayment("p1", DUE))
    waiting = decide(payable, CANCEL, NOW)
    assert (names(waiting), waiting.operations) == ([], ())
    done = decide(waiting.payable, ended(waiting.payable, Kind.CAPTURE, seen=seen(AttemptState.SUCCEEDED, 9)), NOW)
    assert done.events[-1] == PaymentCancellationSettled("c1", "MONEY_TAKEN")
    refused = decide(waiting.payable, ended(waiting.payable, Kind.CAPTURE, succeeded=False, code="x"), NOW)
    assert [o.kind for o in refused.operations] == [Kind.CANCEL]


def test_a_cancel_in_vain_is_not_repeated_at_once_but_when_time_passes() -> None:
    payable = run(live(), CANCEL)
    vain = decide(payable, ended(payable, Kind.CANCEL, succeeded=False, code="x"), NOW)
    assert (vain.operations, vain.payable.look_at) == ((), NOW + timedelta(hours=1))
    assert [incident.kind for incident in vain.incidents] == ["attempt_not_ended"]
    later = decide(vain.payable, TimePassed(), NOW + timedelta(hours=1))
    assert [(o.kind, o.number) for o in later.operations] == [(Kind.CANCEL, 2)]


def test_what_waits_for_a_day_is_an_incident_once() -> None:
    payable = run(live(), seen(AttemptState.PROCESSING, 3), CANCEL)
    late = decide(payable, TimePassed(), NOW + timedelta(hours=25))
    assert [incident.kind for incident in late.incidents] == ["cancellation_overdue"]
    assert decide(late.payable, TimePassed(), NOW + timedelta(hours=26)).incidents == ()


def test_a_paid_payable_is_settled_at_once() -> None:
    assert decide(paid(), CANCEL, NOW).events == (PaymentCancellationSettled("c1", "MONEY_TAKEN"),)


def test_an_intent_that_shows_up_after_all_is_ended() -> None:
    payable = run(Payable("o"), create(), CANCEL)
    gone = run(payable, ended(payable, Kind.CREATE, succeeded=False, code="x"))
    assert gone.cancellations[0].settled
    late = decide(gone, seen(AttemptState.PAYABLE, 9, attempt_id="a1", new_id="a2"), NOW)
    assert [o.kind for o in late.operations] == [Kind.CANCEL]


def test_a_payable_that_was_paid_elsewhere_has_its_live_attempt_ended() -> None:
    decision = decide(live(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"), NOW)
    assert [(o.kind, o.object_id) for o in decision.operations] == [(Kind.CANCEL, "pi_1")]


@pytest.mark.parametrize("settled_first", [True, False])
def test_a_question_about_refunds_survives_the_answer_to_a_cancellation(settled_first: bool) -> None:
    payable = run(live(), CANCEL)
    won = ended(payable, Kind.CANCEL, seen=seen(AttemptState.SUCCEEDED, 5))
    total = ChargeRefunded(at(9), "pi_1", DUE)
    assert decide(payable, total, NOW).payable.look_at == NOW
    payable = run(payable, *((won, total) if settled_first else (total, won)))
    assert payable.look_at == NOW
    assert all(c.settled for c in payable.cancellations)


def test_a_hint_that_comes_while_the_provider_is_asked_is_kept() -> None:
    total = ChargeRefunded(at(9), "pi_1", DUE)
    read = decide(paid(), total, NOW).payable
    hinted = decide(read, total, at(1)).payable
    assert asked(hinted, read.look_at).look_at == at(1)
    assert asked(hinted, hinted.look_at).look_at is None
