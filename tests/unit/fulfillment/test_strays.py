"""An object of an earlier round, seen in a later one: it is cancelled, and the present round goes its own way."""

from dataclasses import replace

import pytest

from services.fulfillment.domain import (
    CancelFulfillment,
    Decision,
    Fulfillment,
    FulfillmentState,
    Kind,
    ObjectSeen,
    OperationEnded,
    Prepared,
    ProviderState,
    RequestFulfillment,
    decide,
)
from tests.unit.fulfillment.test_domain import LINES, NOW, REQUEST, after

STRAY = ObjectSeen("66", 1, ProviderState.DRAFT)
SECOND = RequestFulfillment("request-2", 2, LINES)

pytestmark = [pytest.mark.requirement("S-10"), pytest.mark.requirement("R-4.1")]


def second_round() -> Fulfillment:
    """Round 1 was cancelled because its create was proved absent; round 2 has just been asked for."""
    root = after(
        REQUEST,
        Prepared(),
        CancelFulfillment("cancel-1", "request-1"),
        OperationEnded(Kind.CREATE, 1, False, code="ABSENT", absent=True),
        SECOND,
    ).fulfillment
    assert (root.state, root.number) == (FulfillmentState.QUEUED, 2)
    return root


def went_on(root: Fulfillment, cause: OperationEnded | ObjectSeen | Prepared | CancelFulfillment) -> Decision:
    return decide(root, cause, NOW)


def test_the_present_round_is_still_prepared_when_a_stray_is_cancelled() -> None:
    decision = went_on(second_round(), STRAY)
    (cancel,) = decision.operations
    assert (cancel.kind, cancel.reference) == (Kind.CANCEL, 1)
    assert decision.fulfillment.next_try_at == NOW
    gone = OperationEnded(Kind.CANCEL, cancel.number, True, replace(STRAY, state=ProviderState.CANCELED), reference=1)
    root = went_on(decision.fulfillment, gone).fulfillment
    assert (root.state, root.next_try_at) == (FulfillmentState.QUEUED, NOW)
    assert [plan.kind for plan in went_on(root, Prepared()).operations] == [Kind.CREATE]


def test_a_stray_seen_while_a_create_is_under_way_is_cancelled_too() -> None:
    creating = went_on(second_round(), Prepared()).fulfillment
    decision = went_on(creating, STRAY)
    assert [(plan.kind, plan.reference) for plan in decision.operations] == [(Kind.CANCEL, 1)]
    again = went_on(decision.fulfillment, STRAY)
    assert not again.operations


def test_a_stray_that_cannot_be_cancelled_does_not_make_the_present_round_unstoppable() -> None:
    decision = went_on(second_round(), STRAY)
    (stray,) = decision.operations
    asked = went_on(decision.fulfillment, CancelFulfillment("cancel-2", "request-2")).fulfillment
    answer = went_on(asked, OperationEnded(Kind.CANCEL, stray.number, False, code="400", reference=1))
    assert [type(event).__name__ for event in answer.events] == ["FulfillmentCancelled"]
    assert "stray_object_not_cancelled" in [incident.kind for incident in answer.incidents]
