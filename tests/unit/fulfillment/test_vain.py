"""Answers that changed nothing are tries in vain: they have pauses and a limit, like failures (R-4.7)."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from services.fulfillment.domain import (
    CancelFulfillment,
    Decision,
    Fulfillment,
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillmentState,
    Kind,
    ObjectSeen,
    OperationEnded,
    ProviderState,
    RetryFulfillment,
    Rules,
    TimePassed,
    decide,
)
from tests.unit.fulfillment.test_domain import CANCEL, NOW, SUBMITTED, after, ended, sight

PAUSES = Rules().pauses
CONFIRMING = SUBMITTED[:-1]

pytestmark = pytest.mark.requirement("R-4.7")


def answered(decision: Decision, state: ProviderState) -> tuple[list[Decision], list[timedelta]]:
    """Every call is answered with that state for a week, looked at each minute; and when the calls were made."""
    decisions, calls = [decision], []
    for minute in range(7 * 24 * 60):
        now = NOW + timedelta(minutes=minute)
        decisions.append(decide(decisions[-1].fulfillment, TimePassed(), now))
        for operation in decisions[-1].fulfillment.operations:
            calls.append(now - NOW)
            end = OperationEnded(operation.kind, operation.number, True, seen=sight(state))
            decisions.append(decide(decisions[-1].fulfillment, end, now))
    return decisions, calls


def waits(calls: list[timedelta]) -> list[timedelta]:
    return [later - earlier for earlier, later in pairwise(calls)]


def said(decisions: list[Decision]) -> list[object]:
    return [event for decision in decisions for event in decision.events]


def incidents(decisions: list[Decision]) -> set[str]:
    return {incident.kind for decision in decisions for incident in decision.incidents}


def test_a_confirm_that_leaves_a_draft_is_tried_again_with_pauses_and_then_parked() -> None:
    decisions, calls = answered(after(*CONFIRMING), ProviderState.DRAFT)
    assert waits(calls) == list(PAUSES)
    (failed,) = said(decisions)
    assert isinstance(failed, FulfillmentFailed)
    assert (failed.code, decisions[-1].fulfillment.state) == ("not_confirmed", FulfillmentState.FAILED)
    assert incidents(decisions) == {"fulfillment_failed"}


def test_an_order_that_failed_there_is_confirmed_again_with_pauses_once_a_person_wants_it() -> None:
    failed = after(*SUBMITTED, sight(ProviderState.FAILED)).fulfillment
    decisions, calls = answered(decide(failed, RetryFulfillment(), NOW), ProviderState.FAILED)
    assert waits(calls) == list(PAUSES)
    assert decisions[-1].fulfillment.state is FulfillmentState.FAILED


def test_falling_back_to_a_draft_has_a_limit() -> None:
    root, falls, now = after(*SUBMITTED).fulfillment, 0, NOW
    while root.state is not FulfillmentState.FAILED:
        fallen = decide(root, replace(sight(ProviderState.DRAFT), sights=root.sights), now)
        falls += 1
        assert not fallen.operations
        now += PAUSES[-1]
        confirming = decide(fallen.fulfillment, TimePassed(), now).fulfillment
        for operation in confirming.operations:
            confirming = decide(
                confirming, ended(Kind.CONFIRM, operation.number, ProviderState.PENDING), now
            ).fulfillment
        root = confirming
    assert falls == len(PAUSES) + 1


@pytest.mark.requirement("S-10")
def test_a_cancel_that_changes_nothing_is_tried_again_with_pauses_and_a_person_is_told() -> None:
    decisions, calls = answered(after(*SUBMITTED, CANCEL), ProviderState.PENDING)
    assert waits(calls)[: len(PAUSES)] == list(PAUSES)
    assert set(waits(calls)[len(PAUSES) :]) == {PAUSES[-1]}  # orders waits for the answer
    assert said(decisions) == []
    assert incidents(decisions) == {"cancellation_stuck"}
    root = decisions[-1].fulfillment
    gone = decide(root, replace(sight(ProviderState.CANCELED), sights=root.sights), NOW)
    assert isinstance(gone.events[-1], FulfillmentCancelled)


@pytest.mark.requirement("S-10")
def test_a_draft_that_comes_back_while_it_is_cancelled_is_cancelled_at_once() -> None:
    root = after(*SUBMITTED, CANCEL, OperationEnded(Kind.CANCEL, 3, False, absent=True)).fulfillment
    waiting = replace(root, next_try_at=None)
    fallen = decide(waiting, replace(sight(ProviderState.DRAFT), sights=root.sights), NOW)
    assert [plan.kind for plan in fallen.operations] == [Kind.CANCEL]


@pytest.mark.requirement("S-10")
def test_a_stray_that_a_cancel_left_as_it_was_is_shown_to_a_person_and_not_asked_again_at_once() -> None:
    withdrawn = OperationEnded(Kind.CREATE, 1, False, absent=True)
    cancelled = after(*SUBMITTED[:2], CancelFulfillment("cancel-1", "request-1"), withdrawn).fulfillment
    stray = decide(cancelled, sight(ProviderState.DRAFT), NOW)
    assert _cancels(stray) == 1
    left = decide(stray.fulfillment, ended(Kind.CANCEL, 2, ProviderState.DRAFT), NOW)
    assert _cancels(left) == 0
    assert "stray_object_not_cancelled" in incidents([left])
    other = ObjectSeen("66", 0, ProviderState.DRAFT)
    root = decide(_second(cancelled), other, NOW).fulfillment
    (operation,) = root.operations
    assert _cancels(decide(root, OperationEnded(Kind.CANCEL, operation.number, True, other, reference=0), NOW)) == 0


def _second(root: Fulfillment) -> Fulfillment:
    return replace(root, state=FulfillmentState.SUBMITTED, provider_state=ProviderState.PENDING)


def _cancels(decision: Decision) -> int:
    return sum(plan.kind is Kind.CANCEL for plan in decision.operations)
