"""Authorised money: captured once, in full or in part, and only that of the order's own attempt (R-1.21)."""

import pytest

from services.payments.domain import (
    AttemptState,
    CapturePayment,
    End,
    Kind,
    Money,
    Outcome,
    Rules,
    Verdict,
    decide,
)
from tests.unit.payments.stories import DUE, NOW, ended, failed, live, names, run, seen


@pytest.mark.requirement("R-1.21")
def test_a_capture_is_planned_once_and_its_refusal_is_told() -> None:
    payable = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 5))
    first = decide(payable, CapturePayment("c1", DUE), NOW)
    assert [o.kind for o in first.operations] == [Kind.CAPTURE]
    assert decide(first.payable, CapturePayment("c1", DUE), NOW).operations == ()
    refused = decide(first.payable, ended(first.payable, Kind.CAPTURE, succeeded=False, code="expired"), NOW)
    assert names(refused) == ["PaymentCaptureFailed"]
    assert names(decide(live(), CapturePayment("c1", DUE), NOW)) == ["PaymentCaptureFailed"]


@pytest.mark.requirement("S-17")
def test_an_authorisation_that_lapses_is_told() -> None:
    payable = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 5))
    lapsed = decide(payable, seen(AttemptState.CANCELED, 9, end=End.LAPSED), NOW)
    assert (names(lapsed), lapsed.snapshot.authorized_minor) == (["PaymentAuthorizationExpired"], 0)


@pytest.mark.requirement("R-1.20", "R-1.21")
def test_a_capture_that_the_provider_has_no_unit_for_is_refused() -> None:
    held = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 3))
    refused = decide(held, CapturePayment("c1", Money(335, "USD")), NOW, Rules(unit_of=lambda currency: 10))
    assert (names(refused), refused.operations, refused.payable.due) == (["PaymentCaptureFailed"], (), DUE)


@pytest.mark.requirement("R-1.6", "R-1.21", "S-14")
def test_what_an_orphan_authorised_is_no_money_of_the_order() -> None:
    """It is on its way to be cancelled: told as AUTHORIZED, orders would confirm what nobody can capture."""
    second = seen(AttemptState.AUTHORIZED, 5, payment_id="pi_2", new_id="a2")
    payable = run(live(manual_capture=True), second)
    assert payable.attempts[1].orphan
    told = decide(payable, failed(6), NOW)
    assert (told.snapshot.verdict, told.snapshot.authorized_minor) == (Verdict.FAILED, 0)
    ours = decide(told.payable, seen(AttemptState.AUTHORIZED, 7), NOW)
    assert (ours.snapshot.verdict, ours.snapshot.authorized_minor) == (Verdict.AUTHORIZED, 1_000)


@pytest.mark.requirement("R-1.21")
def test_a_capture_beside_one_under_way_is_refused() -> None:
    payable = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 5), CapturePayment("c1", Money(600, "USD")))
    second = decide(payable, CapturePayment("c2", DUE), NOW)
    assert (names(second), second.operations) == (["PaymentCaptureFailed"], ())
    assert second.payable.attempts[0].capture_request == "c1"
    assert decide(second.payable, CapturePayment("c1", Money(600, "USD")), NOW).outcome is Outcome.STALE


@pytest.mark.requirement("R-1.21", "R-1.15")
def test_a_smaller_capture_is_all_that_is_due_once_it_is_captured_and_not_before() -> None:
    held = run(live(manual_capture=True), seen(AttemptState.AUTHORIZED, 5))
    planned = decide(held, CapturePayment("c1", Money(600, "USD")), NOW)
    assert ([o.money for o in planned.operations], planned.payable.due) == ([Money(600, "USD")], DUE)
    refused = decide(planned.payable, ended(planned.payable, Kind.CAPTURE, succeeded=False, code="no"), NOW)
    assert (names(refused), refused.payable.due) == (["PaymentCaptureFailed"], DUE)
    absent = decide(planned.payable, ended(planned.payable, Kind.CAPTURE, succeeded=False, absent=True), NOW)
    assert [o.money for o in absent.operations] == [Money(600, "USD")]
    told = decide(planned.payable, seen(AttemptState.SUCCEEDED, 9, captured_minor=600), NOW)
    assert names(told) == ["PaymentCaptured", "PaymentSucceeded"]
    assert (told.payable.due, told.snapshot.verdict) == (Money(600, "USD"), Verdict.PAID)
    other = decide(planned.payable, seen(AttemptState.SUCCEEDED, 9, captured_minor=500), NOW)
    assert (names(other), other.payable.due) == (["PaymentCaptured", "PaymentMismatched"], DUE)
