"""Attempts: reuse, ranks, lateness, and any order of arrival."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.payments.domain import (
    RANKS,
    TRANSITIONS,
    AttemptState,
    DisputeSeen,
    DisputeState,
    End,
    Kind,
    Money,
    OperationEnded,
    OrderPlaced,
    Outcome,
    Payable,
    RefundState,
    Verdict,
    decide,
    verdict,
)
from tests.unit.payments.stories import (
    DUE,
    NOW,
    at,
    create,
    ended,
    failed,
    live,
    names,
    paid,
    refund_seen,
    run,
    seen,
)


@pytest.mark.requirement("R-1.5", "S-14")
def test_a_second_call_gets_the_live_attempt() -> None:
    first = decide(Payable("o"), create("a1"), NOW)
    second = decide(first.payable, create("a2"), NOW)
    assert (second.attempt_id, second.operations, second.changed) == ("a1", (), False)


@pytest.mark.requirement("R-1.5")
@pytest.mark.parametrize(
    "state", [AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION, AttemptState.PROCESSING, AttemptState.AUTHORIZED]
)
def test_a_live_attempt_is_reused_in_every_live_state(state: AttemptState) -> None:
    payable = run(live(), seen(state, 5))
    assert decide(payable, create("a2"), NOW).attempt_id == "a1"


@pytest.mark.requirement("R-1.5")
def test_paid_refuses_and_an_ended_attempt_is_followed_by_the_next() -> None:
    refused = decide(paid(), create("a2"), NOW)
    assert refused.refusal is not None and refused.refusal.reason == "ALREADY_PAID"
    next_one = decide(run(live(), seen(AttemptState.CANCELED, 5, end=End.CANCELED)), create("a2"), NOW)
    assert [(a.id, a.number) for a in next_one.payable.attempts] == [("a1", 1), ("a2", 2)]
    assert next_one.operations[0].number == 2


@pytest.mark.requirement("R-1.15")
def test_another_amount_is_refused() -> None:
    refused = decide(live(), create("a2", due=Money(999, "USD")), NOW)
    assert refused.refusal is not None and refused.refusal.reason == "AMOUNT_DIFFERS"


@pytest.mark.requirement("R-1.14")
def test_a_late_failure_is_counted_and_changes_nothing_else() -> None:
    late = decide(paid(), failed(2), NOW)
    assert late.outcome is Outcome.STALE
    assert late.events == ()
    assert late.payable.attempts[0].failures == 1
    assert late.snapshot.verdict is Verdict.PAID


@pytest.mark.requirement("R-1.14", "S-13")
def test_money_wins_over_a_cancellation_that_came_first() -> None:
    payable = run(live(), seen(AttemptState.CANCELED, 3, end=End.CANCELED))
    assert verdict(payable) is Verdict.CANCELED
    paid_after = decide(payable, seen(AttemptState.SUCCEEDED, 2), NOW)
    assert names(paid_after) == ["PaymentCaptured", "PaymentSucceeded"]


@pytest.mark.requirement("R-1.7")
def test_a_superseded_attempt_that_is_cancelled_late_cancels_nothing() -> None:
    payable = run(live(), seen(AttemptState.CANCELED, 5, end=End.CANCELED))
    payable = run(payable, create("a2"))
    again = decide(payable, seen(AttemptState.CANCELED, 6, end=End.CANCELED), NOW)
    assert (again.events, again.snapshot.verdict) == ((), Verdict.UNPAID)


@pytest.mark.requirement("S-17")
def test_each_state_is_said_once() -> None:
    action = decide(live(), seen(AttemptState.REQUIRES_ACTION, 1), NOW)
    assert (names(action), action.snapshot.verdict) == (["PaymentRequiresAction"], Verdict.REQUIRES_ACTION)
    assert names(decide(action.payable, seen(AttemptState.REQUIRES_ACTION, 1), NOW)) == []
    working = decide(action.payable, seen(AttemptState.PROCESSING, 2), NOW)
    assert names(working) == ["PaymentProcessing"]
    fails = decide(working.payable, failed(3), NOW)
    assert (names(fails), fails.snapshot.verdict) == (["PaymentFailed"], Verdict.FAILED)
    works = decide(fails.payable, seen(AttemptState.SUCCEEDED, 4), NOW)
    assert names(works) == ["PaymentCaptured", "PaymentSucceeded"]
    assert names(decide(works.payable, seen(AttemptState.SUCCEEDED, 4), NOW)) == []


@pytest.mark.requirement("S-17", "R-1.15")
@pytest.mark.parametrize("captured", [(999, "USD"), (1_000, "EUR")])
def test_money_that_differs_is_a_mismatch(captured: tuple[int, str]) -> None:
    amount, currency = captured
    decision = decide(live(), seen(AttemptState.SUCCEEDED, captured_minor=amount, currency=currency), NOW)
    assert names(decision) == ["PaymentCaptured", "PaymentMismatched"]
    assert [incident.kind for incident in decision.incidents] == ["payment_mismatched"]
    assert decision.snapshot.captured_minor == amount


@pytest.mark.requirement("S-14", "S-17")
def test_two_captures_are_one_success_and_one_excess() -> None:
    decision = decide(paid(), seen(AttemptState.SUCCEEDED, 9, payment_id="pi_2", new_id="a2"), NOW)
    assert names(decision) == ["PaymentCaptured", "PaymentExcessReceived"]
    assert decision.payable.attempts[-1].number == 2


@pytest.mark.requirement("S-17")
def test_success_is_said_when_the_due_becomes_known_after_the_money() -> None:
    early = run(Payable("o"), seen(AttemptState.SUCCEEDED, new_id="a1"))
    assert names(decide(early, OrderPlaced(DUE), NOW)) == ["PaymentSucceeded"]
    other = decide(run(early, OrderPlaced(DUE)), OrderPlaced(Money(1, "USD")), NOW)
    assert other.outcome is Outcome.CONTRADICTION


@pytest.mark.requirement("S-14", "R-1.6")
def test_an_object_beside_the_live_attempt_must_end() -> None:
    decision = decide(live(), seen(AttemptState.PAYABLE, 5, payment_id="pi_2", new_id="a2"), NOW)
    assert [(o.kind, o.object_id) for o in decision.operations] == [(Kind.CANCEL, "pi_2")]
    assert decision.events == ()


@pytest.mark.requirement("S-15")
def test_a_create_that_was_never_executed_is_planned_under_a_new_number() -> None:
    payable = run(Payable("o"), create())
    again = decide(payable, ended(payable, Kind.CREATE, succeeded=False, absent=True), NOW)
    assert [(o.kind, o.number) for o in again.operations] == [(Kind.CREATE, 2)]
    refused = decide(payable, ended(payable, Kind.CREATE, succeeded=False, code="no"), NOW)
    assert (names(refused), refused.snapshot.verdict) == (["PaymentFailed"], Verdict.FAILED)


@pytest.mark.requirement("S-13")
def test_the_end_of_an_operation_counts_once() -> None:
    payable = run(Payable("o"), create())
    end = ended(payable, Kind.CREATE, seen=seen(AttemptState.PAYABLE, attempt_id="a1"))
    after = run(payable, end)
    assert decide(after, end, NOW).outcome is Outcome.STALE
    assert decide(after, OperationEnded("cancel:9", Kind.CANCEL, "a1", True), NOW).outcome is Outcome.STALE


@pytest.mark.requirement("R-1.14", "S-9")
def test_what_the_provider_is_asked_needs_no_common_clock() -> None:
    payable = run(live(), seen(AttemptState.PROCESSING, 60))
    behind = seen(AttemptState.PAYABLE, 10, asked=True, as_of=at(60))
    learned = decide(payable, behind, NOW)
    assert learned.payable.attempts[0].state is AttemptState.PAYABLE
    # An event that came while the answer was on its way is newer than what was asked about.
    assert (
        run(payable, seen(AttemptState.REQUIRES_ACTION, 61), behind).attempts[0].state is AttemptState.REQUIRES_ACTION
    )
    # The next event of the provider is not measured by our clock.
    ahead = run(payable, seen(AttemptState.PAYABLE, 900, asked=True, as_of=at(60)))
    assert run(ahead, seen(AttemptState.PROCESSING, 70)).attempts[0].state is AttemptState.PROCESSING


@pytest.mark.requirement("R-1.14")
def test_transitions_agree_with_ranks() -> None:
    for state, following in TRANSITIONS.items():
        for other in AttemptState:
            legal = other is not state and RANKS[other] >= RANKS[state]
            if AttemptState.CREATING in (state, other):
                legal = state is AttemptState.CREATING and other is not state
            assert (other in following) == legal, (state, other)


STORIES: list[list[Any]] = [
    [seen(AttemptState.PAYABLE, 0), failed(5), seen(AttemptState.REQUIRES_ACTION, 7), seen(AttemptState.SUCCEEDED, 9)],
    [failed(5), failed(6, "other"), seen(AttemptState.PROCESSING, 7), seen(AttemptState.CANCELED, 9, end=End.CANCELED)],
    [seen(AttemptState.REQUIRES_ACTION, 5), failed(5), seen(AttemptState.PROCESSING, 5)],
    [
        seen(AttemptState.AUTHORIZED, 5),
        seen(AttemptState.CANCELED, 8, end=End.LAPSED),
        seen(AttemptState.PROCESSING, 3),
    ],
    [seen(AttemptState.AUTHORIZED, 5), seen(AttemptState.SUCCEEDED, 8, captured_minor=600), failed(2)],
    [
        seen(AttemptState.SUCCEEDED, 5),
        refund_seen(RefundState.PENDING, 6),
        refund_seen(RefundState.SUCCEEDED, 7),
        refund_seen(RefundState.FAILED, 8),
    ],
    [
        seen(AttemptState.SUCCEEDED, 5),
        DisputeSeen(at(6), "dp_1", "pi_1", DUE, DisputeState.OPEN),
        DisputeSeen(at(6), "dp_1", "pi_1", DUE, DisputeState.OPEN, withdrawn=False),
        DisputeSeen(at(9), "dp_1", "pi_1", DUE, DisputeState.WON),
    ],
    [seen(AttemptState.SUCCEEDED, 5), seen(AttemptState.PROCESSING, 7), failed(8)],  # later by another clock
]


@pytest.mark.requirement("R-1.14", "S-13")
@pytest.mark.parametrize("story", STORIES)
def test_every_permutation_converges(story: list[Any]) -> None:
    assert len({_end(run(live(), *order)) for order in permutations(story)}) == 1


@pytest.mark.requirement("R-1.14")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_repeated_and_shuffled_facts_converge(data: st.DataObject) -> None:
    story = data.draw(st.sampled_from(STORIES))
    shuffled = data.draw(st.permutations(story))
    assert _end(run(live(), *shuffled)) == _end(run(live(), *story))
    # A fact that is told again changes nothing but the count of failures, which goes by event (S-12).
    again = [fact for fact in data.draw(st.permutations(story)) if not getattr(fact, "failed", False)]
    assert _end(run(live(), *shuffled, *again)) == _end(run(live(), *story))


def _end(payable: Payable) -> Payable:
    """What must converge: not the version, not the order of entries, not when the provider is asked."""
    return replace(
        payable,
        version=0,
        look_at=None,
        ledger=tuple(sorted((replace(f, occurred_at=NOW) for f in payable.ledger), key=repr)),
    )


@pytest.mark.requirement("R-1.14")
def test_a_failure_that_was_asked_for_first_is_one_in_every_verdict() -> None:
    asked = seen(AttemptState.PAYABLE, 9, asked=True, as_of=at(0), failure_code="card_declined", failure_message="No.")
    first = decide(live(), asked, NOW)
    assert (names(first), first.snapshot.verdict) == (["PaymentFailed"], Verdict.FAILED)
    assert decide(first.payable, failed(5), NOW).snapshot.verdict is Verdict.FAILED


@pytest.mark.requirement("R-1.14", "R-1.6")
def test_a_strange_object_that_ended_is_never_taken_for_a_live_one() -> None:
    canceled = seen(AttemptState.CANCELED, 9, payment_id="pi_x", new_id="x", end=End.CANCELED)
    over = decide(Payable("order-1"), canceled, NOW)
    assert (over.events, over.snapshot.verdict) == ((), Verdict.UNPAID)
    created = decide(over.payable, seen(AttemptState.PAYABLE, 3, payment_id="pi_x", new_id="y"), NOW)
    assert (created.outcome, created.payable.live_attempt) == (Outcome.STALE, None)
    assert decide(created.payable, create(), NOW).operations
