"""Refunds and disputes: capped, by rank, told once per request (S-18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.domain import (
    AttemptState,
    ChargeRefunded,
    DisputeSeen,
    DisputeState,
    Entry,
    Kind,
    Money,
    OperationEnded,
    Outcome,
    Payable,
    RefundState,
    RequestRefund,
    Rules,
    decide,
    snapshot,
)
from tests.unit.payments.stories import DUE, NOW, at, ended, live, names, paid, refund_seen, run, seen

pytestmark = pytest.mark.requirement("S-18", "R-1.12")
REQUEST = RequestRefund("rf", DUE)
TWICE = Money(2_000, "USD")


def succeeded(payable: Payable, our_id: str, refund_id: str, amount: Money = DUE, source: str = "pi_1") -> Payable:
    fact = refund_seen(RefundState.SUCCEEDED, our_id=our_id, provider_refund_id=refund_id, amount=amount)
    operation = next(o for o in payable.operations if o.target_id == our_id)
    return run(payable, OperationEnded(operation.id, Kind.REFUND, our_id, True, fact))


def test_a_request_is_planned_once() -> None:
    first = decide(paid(), REQUEST, NOW)
    assert [(o.kind, o.object_id, o.money) for o in first.operations] == [(Kind.REFUND, "pi_1", DUE)]
    assert first.snapshot.refund_pending_minor == 1_000
    assert decide(first.payable, REQUEST, NOW).outcome is Outcome.STALE


def test_the_cap_counts_pending_refunds_and_disputes() -> None:
    payable = run(paid(), RequestRefund("r1", Money(700, "USD")))
    capped = decide(payable, RequestRefund("r2", Money(700, "USD")), NOW)
    assert [o.money for o in capped.operations] == [Money(300, "USD")]
    nothing = decide(capped.payable, RequestRefund("r3", Money(1, "USD")), NOW)
    assert (names(nothing), [i.kind for i in nothing.incidents]) == (["RefundFailed"], ["refund_over_cap"])
    disputed = run(paid(), DisputeSeen(at(6), "dp", "pi_1", DUE, DisputeState.OPEN))
    assert names(decide(disputed, REQUEST, NOW)) == ["RefundFailed"]
    won = run(disputed, DisputeSeen(at(8), "dp", "pi_1", DUE, DisputeState.WON))
    assert decide(won, REQUEST, NOW).operations


def test_several_captures_give_back_together_and_it_is_told_once() -> None:
    payable = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"))
    both = decide(payable, RequestRefund("rf", Money(1_500, "USD")), NOW)
    assert sorted((o.object_id, o.money.amount_minor) for o in both.operations if o.money) == [
        ("pi_1", 500),
        ("pi_2", 1_000),
    ]
    first, second = both.payable.refunds
    half = succeeded(both.payable, first.id, "re_1", first.money)
    fact = refund_seen(RefundState.SUCCEEDED, our_id=second.id, provider_refund_id="re_2", amount=second.money)
    done = decide(half, fact, NOW)
    assert [(type(e).__name__, getattr(e, "amount", None)) for e in done.events] == [
        ("RefundSucceeded", Money(1_500, "USD"))
    ]


def test_a_named_capture_is_the_one_that_gives_back() -> None:
    payable = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2", charge_id="ch_2"))
    for object_id in ("pi_2", "ch_2"):
        decision = decide(payable, RequestRefund("rf", DUE, object_id), NOW)
        assert [o.object_id for o in decision.operations] == ["pi_2"]


def test_a_refused_refund_stays_due_and_can_be_asked_for_again() -> None:
    payable = run(paid(), REQUEST)
    refused = decide(payable, ended(payable, Kind.REFUND, succeeded=False, code="no"), NOW)
    assert (names(refused), [i.kind for i in refused.incidents]) == (["RefundFailed"], ["refund_failed"])
    again = decide(refused.payable, REQUEST, NOW)
    assert [(o.kind, o.number) for o in again.operations] == [(Kind.REFUND, 2)]
    absent = decide(payable, ended(payable, Kind.REFUND, succeeded=False, absent=True), NOW)
    assert [(o.target_id, o.number) for o in absent.operations] == [("rf.1.1", 2)]


def test_a_refund_that_fails_after_it_succeeded_is_reversed() -> None:
    payable = succeeded(run(paid(), REQUEST), "rf.1.1", "re_1")
    failed = decide(payable, refund_seen(RefundState.FAILED, 20), NOW)
    assert [f.entry for f in failed.payable.ledger][-2:] == [Entry.REFUNDED, Entry.REFUND_REVERSED]
    assert (names(failed), failed.snapshot.refunded_minor) == (["RefundFailed"], 0)
    late = decide(failed.payable, refund_seen(RefundState.SUCCEEDED, 9), NOW)
    assert (late.outcome, late.events) == (Outcome.STALE, ())


def test_a_webhook_that_overtakes_the_answer_is_the_same_refund() -> None:
    payable = run(paid(), REQUEST)
    fact = refund_seen(RefundState.SUCCEEDED, our_id="rf.1.1")
    told = decide(payable, fact, NOW)
    assert names(told) == ["RefundSucceeded"]
    after = decide(told.payable, ended(told.payable, Kind.REFUND, seen=fact), NOW)
    assert (after.events, len(after.payable.refunds)) == ((), 1)


def test_a_refund_made_at_the_provider_is_adopted() -> None:
    told = decide(paid(), refund_seen(RefundState.SUCCEEDED, amount=Money(400, "USD")), NOW)
    assert names(told) == ["RefundSucceeded"]
    assert told.snapshot.refunded_minor == 400


def test_an_unknown_total_asks_and_a_known_one_does_not() -> None:
    total = ChargeRefunded(at(9), "pi_1", Money(400, "USD"))
    assert decide(paid(), total, NOW).payable.look_at == NOW
    known = run(paid(), refund_seen(RefundState.SUCCEEDED, amount=Money(400, "USD")))
    assert decide(known, total, NOW).outcome is Outcome.STALE


@pytest.mark.requirement("R-1.15")
def test_money_in_another_currency_goes_back_in_its_own() -> None:
    payable = run(live(), seen(AttemptState.SUCCEEDED, 5, currency="EUR"))
    assert (snapshot(payable).captured_minor, snapshot(payable).currency_differs) == (1_000, True)
    decision = decide(payable, REQUEST, NOW)
    assert [o.money for o in decision.operations] == [Money(1_000, "EUR")]


@pytest.mark.requirement("R-1.22")
def test_a_dispute_is_told_when_it_opens_and_when_it_closes() -> None:
    opened = decide(paid(), DisputeSeen(at(6), "dp", "pi_1", DUE, DisputeState.OPEN), NOW)
    assert (names(opened), opened.snapshot.dispute) == (["DisputeOpened"], DisputeState.OPEN)
    lost = decide(opened.payable, DisputeSeen(at(8), "dp", "pi_1", DUE, DisputeState.LOST), NOW)
    assert (names(lost), lost.snapshot.dispute) == (["DisputeClosed"], DisputeState.LOST)
    late = decide(lost.payable, DisputeSeen(at(6), "dp", "pi_1", DUE, DisputeState.OPEN), NOW)
    assert (late.outcome, late.snapshot.dispute) == (Outcome.STALE, DisputeState.LOST)


@pytest.mark.requirement("R-1.22")
def test_a_newer_decision_of_the_bank_replaces_the_older() -> None:
    lost = run(paid(), DisputeSeen(at(8), "dp", "pi_1", DUE, DisputeState.LOST))
    won = decide(lost, DisputeSeen(at(20), "dp", "pi_1", DUE, DisputeState.WON), NOW)
    assert (names(won), won.snapshot.dispute) == (["DisputeClosed"], DisputeState.WON)
    assert won.payable.has("dp", Entry.DISPUTE_REINSTATED)
    stale = decide(won.payable, DisputeSeen(at(8), "dp", "pi_1", DUE, DisputeState.LOST), NOW)
    assert (stale.outcome, stale.snapshot.dispute) == (Outcome.STALE, DisputeState.WON)
    back = decide(won.payable, DisputeSeen(at(30), "dp", "pi_1", DUE, DisputeState.LOST), NOW)
    assert ([i.kind for i in back.incidents], back.snapshot.dispute) == (["dispute_lost_again"], DisputeState.LOST)


@pytest.mark.requirement("R-1.22")
def test_an_open_dispute_shows_whatever_became_of_newer_ones() -> None:
    payable = run(
        paid(),
        DisputeSeen(at(6), "dp_1", "pi_1", Money(100, "USD"), DisputeState.OPEN),
        DisputeSeen(at(7), "dp_2", "pi_1", Money(200, "USD"), DisputeState.LOST),
        DisputeSeen(at(8), "dp_3", "pi_1", Money(300, "USD"), DisputeState.WON),
    )
    assert snapshot(payable).dispute is DisputeState.OPEN
    closed = run(payable, DisputeSeen(at(9), "dp_1", "pi_1", Money(100, "USD"), DisputeState.WON))
    assert snapshot(closed).dispute is DisputeState.LOST


def test_the_part_of_a_request_that_failed_is_tried_anew_and_no_more() -> None:
    payable = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"))
    request = RequestRefund("rf", Money(1_500, "USD"))
    both = run(payable, request)
    first, second = both.refunds
    half = succeeded(both, first.id, "re_1", first.money)
    assert decide(half, request, NOW).outcome is Outcome.STALE
    operation = next(o for o in half.operations if o.target_id == second.id)
    failed = decide(half, OperationEnded(operation.id, Kind.REFUND, second.id, False, code="no"), NOW)
    assert names(failed) == ["RefundFailed"]
    again = decide(failed.payable, request, NOW)
    assert [o.money for o in again.operations] == [second.money]
    done = succeeded(again.payable, again.operations[0].target_id, "re_2", second.money)
    assert snapshot(done).refunded_minor == 1_500
    assert decide(done, request, NOW).outcome is Outcome.STALE


def test_what_was_told_as_failed_is_what_a_person_asks_for_again() -> None:
    """Orders copies the amount of RefundFailed, which is that of the failed part, and asks for that."""
    both = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"), RequestRefund("rf", TWICE))
    first, second = both.refunds
    half = succeeded(both, first.id, "re_1", first.money)
    told = decide(half, OperationEnded("refund:2", Kind.REFUND, second.id, False, code="no"), NOW)
    assert [getattr(event, "amount", None) for event in told.events] == [DUE]
    again = decide(told.payable, RequestRefund("rf", DUE), NOW)
    assert [(o.object_id, o.money) for o in again.operations] == [(second.source_id, DUE)]
    less = decide(told.payable, RequestRefund("rf", Money(400, "USD")), NOW)
    assert [o.money for o in less.operations] == [Money(400, "USD")]


def test_a_part_that_fails_after_another_was_tried_anew_is_due_alone() -> None:
    both = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"), RequestRefund("rf", TWICE))
    first, second = both.refunds
    half = succeeded(both, first.id, "re_1", first.money)
    failed = run(half, OperationEnded("refund:2", Kind.REFUND, second.id, False, code="no"), RequestRefund("rf", DUE))
    done = succeeded(failed, failed.operations[0].target_id, "re_2", DUE, second.source_id)
    assert snapshot(done).refunded_minor == 2_000
    late = decide(done, refund_seen(RefundState.FAILED, 20, our_id=first.id), NOW)
    assert [(type(e).__name__, getattr(e, "amount", None)) for e in late.events] == [("RefundFailed", DUE)]
    again = decide(late.payable, RequestRefund("rf", DUE), NOW)
    assert [(o.object_id, o.money) for o in again.operations] == [(first.source_id, DUE)]


TENS = Rules(unit_of=lambda currency: 10)


@pytest.mark.requirement("R-1.20")
def test_what_the_provider_has_no_unit_for_is_rounded_off_and_told() -> None:
    payable = run(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"))
    one = decide(payable, RequestRefund("r1", Money(335, "USD")), NOW, TENS)
    assert [o.money for o in one.operations] == [Money(330, "USD")]
    told = decide(one.payable, refund_seen(RefundState.SUCCEEDED, our_id="r1.1.1", amount=Money(330, "USD")), NOW, TENS)
    assert [getattr(event, "amount", None) for event in told.events] == [Money(330, "USD")]
    assert (one.events, one.incidents) == ((), ())
    two = decide(payable, RequestRefund("r2", Money(1_335, "USD")), NOW, TENS)
    assert sum(o.money.amount_minor for o in two.operations if o.money) == 1_330
    assert all(o.money and o.money.amount_minor % 10 == 0 for o in two.operations)
    little = decide(payable, RequestRefund("r3", Money(9, "USD")), NOW, TENS)
    assert (names(little), little.operations, little.incidents) == (["RefundSucceeded"], (), ())
    assert getattr(little.events[0], "amount", None) == Money(0, "USD")


@pytest.mark.requirement("R-1.20")
def test_nothing_but_whole_units_is_told_as_failed() -> None:
    disputed = run(paid(), DisputeSeen(at(6), "dp", "pi_1", DUE, DisputeState.OPEN))
    failed = decide(disputed, RequestRefund("rf", Money(335, "USD")), NOW, TENS)
    assert [getattr(event, "amount", None) for event in failed.events] == [Money(330, "USD")]


@pytest.mark.requirement("R-1.20")
@given(st.lists(st.tuples(st.integers(1, 150), st.sampled_from(["given", "waits", "fails"])), max_size=6))
def test_all_refunds_together_are_short_by_less_than_one_unit(requests: list[tuple[int, str]]) -> None:
    """Whatever became of the earlier ones: what fails stays due as it was told, and is asked for again as it is."""
    payable, asked, planned = paid(), 0, 0
    for number, (amount, end) in enumerate(requests):
        decision = decide(payable, RequestRefund(f"r{number}", Money(amount, "USD")), NOW, TENS)
        payable, asked = decision.payable, asked + amount
        moved = Money(sum(o.money.amount_minor for o in decision.operations if o.money), "USD")
        planned += moved.amount_minor
        assert (planned, decision.incidents) == (asked - asked % 10, ())
        if not moved.amount_minor or end == "waits":
            continue
        ours, theirs = f"r{number}.1.1", f"re_{number}"
        payable = succeeded(payable, ours, theirs, moved)
        if end == "fails":
            payable = run(payable, refund_seen(RefundState.FAILED, 20, provider_refund_id=theirs, amount=moved))
            again = decide(payable, RequestRefund(f"r{number}", moved), NOW, TENS)
            assert [o.money for o in again.operations] == [moved]
            payable = again.payable


@pytest.mark.requirement("R-1.20", "S-2")
def test_what_cannot_be_given_back_is_answered_the_same_when_it_is_asked_for_again() -> None:
    payable = decide(paid(), RequestRefund("r1", Money(1_000, "USD")), NOW, TENS).payable
    for _ in range(2):
        answer = decide(payable, RequestRefund("r2", Money(335, "USD")), NOW, TENS)
        payable = answer.payable
        assert (names(answer), getattr(answer.events[0], "amount", None)) == (["RefundFailed"], Money(330, "USD"))
        assert payable.rounded_minor == 0


@pytest.mark.requirement("R-1.20", "S-18")
def test_a_last_refund_asked_for_before_the_earlier_ones_were_answered_is_no_more_than_is_left() -> None:
    payable = decide(paid(), RequestRefund("r1", Money(335, "USD")), NOW, TENS).payable
    payable = decide(payable, RequestRefund("r2", Money(335, "USD")), NOW, TENS).payable
    last = decide(payable, RequestRefund("r3", Money(335, "USD")), NOW, TENS)  # orders knows of r1's 330 only
    assert [o.money for o in last.operations] == [Money(330, "USD")]
    assert (last.incidents, snapshot(last.payable).refund_pending_minor) == ((), 1_000)


@pytest.mark.requirement("R-1.20")
def test_what_was_rounded_off_is_not_carried_into_another_currency() -> None:
    other = seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2", currency="EUR")
    payable = decide(run(paid(), other), RequestRefund("r1", Money(335, "USD")), NOW, TENS).payable
    foreign = decide(payable, RequestRefund("r2", Money(335, "EUR"), "pi_2"), NOW, TENS)
    assert [o.money for o in foreign.operations] == [Money(330, "EUR")]
    assert foreign.payable.rounded_minor == 5
