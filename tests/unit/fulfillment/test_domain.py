"""Decisions of fulfillment that no provider can be made to show at will, and laws over random histories."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.fulfillment.v1 import fulfillment_events_pb2, fulfillment_pb2

from services.fulfillment import domain
from services.fulfillment.domain import (
    CancelFulfillment,
    Decision,
    Fulfillment,
    FulfillmentCancellationRefused,
    FulfillmentCancelled,
    FulfillmentHeld,
    FulfillmentHoldRefused,
    FulfillmentResumed,
    FulfillmentState,
    HoldFulfillment,
    Input,
    Kind,
    LineQuantity,
    ObjectSeen,
    OperationEnded,
    Outcome,
    Prepared,
    ProviderState,
    RequestFulfillment,
    ResumeFulfillment,
    SeenShipment,
    ShipmentSent,
    ShipmentState,
    decide,
    minus,
    plus,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LINES = (LineQuantity(1, "MUG", 2), LineQuantity(2, "SHIRT", 1))
REQUEST = RequestFulfillment("request-1", 1, LINES)
CANCEL = CancelFulfillment("cancel-1", "request-1")


def after(*causes: Input, root: Fulfillment | None = None) -> Decision:
    """The last decision of a history."""
    root = root or Fulfillment("order-1")
    for cause in causes:
        decision = decide(root, cause, NOW)
        root = decision.fulfillment
    return decision


def sight(state: ProviderState, *shipments: SeenShipment) -> ObjectSeen:
    return ObjectSeen("77", 1, state, shipments)


def ended(kind: Kind, number: int, state: ProviderState) -> OperationEnded:
    return OperationEnded(kind, number, True, seen=sight(state))


SUBMITTED = (
    REQUEST,
    Prepared(),
    ended(Kind.CREATE, 1, ProviderState.DRAFT),
    ended(Kind.CONFIRM, 2, ProviderState.PENDING),
)


def test_states_and_events_are_those_of_the_protos() -> None:
    proto = {
        name.removeprefix("FULFILLMENT_STATE_") for name in fulfillment_pb2.FulfillmentState.DESCRIPTOR.values_by_name
    }
    assert proto - {"UNSPECIFIED"} == set(FulfillmentState) == set(domain.TRANSITIONS)
    parcels = {name.removeprefix("SHIPMENT_STATE_") for name in fulfillment_pb2.ShipmentState.DESCRIPTOR.values_by_name}
    assert parcels - {"UNSPECIFIED"} == set(ShipmentState) == set(domain.SHIPMENT_TRANSITIONS)
    for event in domain.Event.__args__:
        message = getattr(fulfillment_events_pb2, event.__name__).DESCRIPTOR
        own = {field.name for field in message.fields} - {"context", "provider"}
        assert own == set(event.__dataclass_fields__)


@pytest.mark.requirement("S-10")
def test_an_object_that_appears_after_its_absence_was_proved_is_cancelled() -> None:
    withdrawn = OperationEnded(Kind.CREATE, 1, False, absent=True)
    cancelled = after(REQUEST, Prepared(), CANCEL, withdrawn)
    assert isinstance(cancelled.events[-1], FulfillmentCancelled)
    appeared = decide(cancelled.fulfillment, sight(ProviderState.DRAFT), NOW)
    assert [plan.kind for plan in appeared.operations] == [Kind.CANCEL]
    assert [incident.kind for incident in appeared.incidents] == ["stray_object"]


@pytest.mark.requirement("S-10")
def test_units_that_left_are_not_stoppable_and_the_rest_is_cancelled() -> None:
    parcel = SeenShipment("s1", ShipmentState.SENT, (LineQuantity(1, "MUG", 1),))
    history = (*SUBMITTED, sight(ProviderState.PENDING, parcel), CANCEL)
    decision = after(*history, ended(Kind.CANCEL, 3, ProviderState.CANCELED))
    answer = decision.events[-1]
    assert isinstance(answer, FulfillmentCancelled)
    assert answer.cancelled == (LineQuantity(1, "MUG", 1), LineQuantity(2, "SHIRT", 1))
    assert answer.not_stoppable == (LineQuantity(1, "MUG", 1),)


@pytest.mark.requirement("S-10", "S-21")
def test_units_that_are_sent_again_leave_the_others_to_be_cancelled() -> None:
    one = (LineQuantity(1, "MUG", 1),)
    lost = SeenShipment("s1", ShipmentState.FAILED, one)
    again = SeenShipment("s2", ShipmentState.SENT, one, resent=True)
    resent = after(*SUBMITTED, sight(ProviderState.PENDING, again, lost))  # in whatever order the provider shows them
    assert [(event.shipment_id, event.resent) for event in resent.events if isinstance(event, ShipmentSent)] == [
        (domain.shipment_id("order-1", "s1"), ()),
        (domain.shipment_id("order-1", "s2"), one),
    ]
    stopped = after(CANCEL, ended(Kind.CANCEL, 3, ProviderState.CANCELED), root=resent.fulfillment)
    answer = stopped.events[-1]
    assert isinstance(answer, FulfillmentCancelled)
    assert (answer.cancelled, answer.not_stoppable) == ((*one, *LINES[1:]), one)
    first = after(*SUBMITTED, sight(ProviderState.PENDING, again))  # what it replaces never left
    assert [event.resent for event in first.events if isinstance(event, ShipmentSent)] == [()]


@pytest.mark.requirement("S-10")
def test_a_cancel_in_doubt_has_no_answer_and_a_refused_one_has() -> None:
    waiting = after(*SUBMITTED, CANCEL)
    assert waiting.events == ()
    refused = decide(waiting.fulfillment, OperationEnded(Kind.CANCEL, 3, False, code="400"), NOW)
    assert isinstance(refused.events[-1], FulfillmentCancellationRefused)
    again = after(*SUBMITTED, CANCEL, OperationEnded(Kind.CANCEL, 3, False, absent=True))
    assert again.events == ()
    assert again.fulfillment.next_try_at is not None


@pytest.mark.requirement("S-10", "R-4.7")
def test_an_object_that_is_gone_counts_as_cancelled_only_if_it_was_a_draft() -> None:
    gone = OperationEnded(Kind.CANCEL, 3, False, code="GONE", gone=True)
    drafted = after(*SUBMITTED[:3], CANCEL, OperationEnded(Kind.CONFIRM, 2, False, code="WITHDRAWN", absent=True), gone)
    assert isinstance(drafted.events[-1], FulfillmentCancelled)
    confirmed = after(*SUBMITTED, CANCEL, gone)
    assert isinstance(confirmed.events[-1], FulfillmentCancellationRefused)
    assert [incident.kind for incident in confirmed.incidents] == ["object_gone"]


@pytest.mark.requirement("S-16")
def test_a_fetch_that_was_overtaken_changes_nothing() -> None:
    root = after(*SUBMITTED).fulfillment
    old = replace(sight(ProviderState.DRAFT), sights=root.sights - 1)
    assert decide(root, old, NOW).outcome is Outcome.STALE
    canceled = decide(root, replace(sight(ProviderState.CANCELED), sights=root.sights), NOW).fulfillment
    late = decide(canceled, sight(ProviderState.PENDING), NOW).fulfillment
    assert late.provider_state is ProviderState.CANCELED


@pytest.mark.requirement("S-23")
def test_a_hold_stops_what_was_not_confirmed_and_is_refused_afterwards() -> None:
    held = after(REQUEST, HoldFulfillment("hold-1", "dispute"))
    assert held.events == (FulfillmentHeld("hold-1", "dispute"),)
    assert decide(held.fulfillment, Prepared(), NOW).outcome is Outcome.STALE
    resumed = decide(held.fulfillment, ResumeFulfillment("hold-1:resume"), NOW)
    assert resumed.events == (FulfillmentResumed("hold-1:resume"),)
    assert resumed.fulfillment.state is FulfillmentState.QUEUED
    late = after(*SUBMITTED, HoldFulfillment("hold-1", "dispute"))
    assert isinstance(late.events[0], FulfillmentHoldRefused)


@pytest.mark.requirement("S-23")
def test_a_hold_while_a_confirm_is_under_way_is_decided_by_whether_that_can_be_taken_back() -> None:
    root = after(REQUEST, Prepared(), ended(Kind.CREATE, 1, ProviderState.DRAFT)).fulfillment
    command = HoldFulfillment("hold-1", "dispute")
    first = decide(root, command, NOW)
    assert (first.withdraw, first.events, first.fulfillment) == (True, (), root)
    held = decide(root, replace(command, taken_back=True), NOW)
    assert held.events == (FulfillmentHeld("hold-1", "dispute"),)
    assert (held.fulfillment.state, held.fulfillment.operations) == (FulfillmentState.HELD, ())
    resumed = decide(held.fulfillment, ResumeFulfillment("hold-1:resume"), NOW)
    assert [plan.kind for plan in resumed.operations] == [Kind.CONFIRM]
    refused = decide(root, replace(command, taken_back=False), NOW)
    assert isinstance(refused.events[0], FulfillmentHoldRefused)
    assert refused.fulfillment.operations == root.operations


@pytest.mark.requirement("S-27")
def test_nothing_is_begun_while_events_of_the_order_wait_parked() -> None:
    queued = after(REQUEST).fulfillment
    prepared = decide(queued, Prepared(), NOW, parked=True)
    assert (prepared.outcome, prepared.operations, prepared.fulfillment) == (Outcome.STALE, (), queued)
    creating = after(REQUEST, Prepared()).fulfillment
    created = decide(creating, ended(Kind.CREATE, 1, ProviderState.DRAFT), NOW, parked=True)
    assert created.operations == ()
    confirming = decide(created.fulfillment, domain.TimePassed(), NOW)
    assert [plan.kind for plan in confirming.operations] == [Kind.CONFIRM]
    cancelling = decide(created.fulfillment, CANCEL, NOW, parked=True)
    assert [plan.kind for plan in cancelling.operations] == [Kind.CANCEL]


CAUSES: list[Input] = [
    REQUEST,
    RequestFulfillment("request-2", 2, LINES),
    Prepared(),
    CANCEL,
    CancelFulfillment("cancel-2", "request-2"),
    HoldFulfillment("hold-1", "dispute"),
    ResumeFulfillment("resume-1"),
    domain.NotPrepared("no address", True),
    domain.RetryFulfillment(),
    domain.TimePassed(),
    *(sight(state) for state in ProviderState if state is not ProviderState.ABSENT),
    sight(ProviderState.IN_PROCESS, SeenShipment("s1", ShipmentState.SENT, LINES[:1])),
    sight(ProviderState.FULFILLED, SeenShipment("s1", ShipmentState.DELIVERED, LINES[:1])),
]


@pytest.mark.requirement("S-10", "S-25")
@given(
    st.lists(st.tuples(st.sampled_from(CAUSES), st.booleans(), st.sampled_from(list(ProviderState)[1:])), max_size=15)
)
def test_units_are_never_both_sent_and_cancelled_and_each_answer_comes_once(
    history: list[tuple[Input, bool, ProviderState]],
) -> None:
    root, answers, parcels = Fulfillment("order-1"), [], []
    for cause, succeeds, state in history:
        decisions = [decide(root, cause, NOW)]
        for operation in decisions[0].fulfillment.operations:
            seen = replace(sight(state), number=root.number) if succeeds else None
            end = OperationEnded(operation.kind, operation.number, succeeds, seen, absent=not succeeds)
            decisions.append(decide(decisions[-1].fulfillment, end, NOW))
        for decision in decisions:
            before = root.version
            root = decision.fulfillment
            assert root.version >= before + len(decision.events)
            for event in decision.events:
                if isinstance(event, FulfillmentCancelled | FulfillmentCancellationRefused) and event.cancellation_id:
                    answers.append(event.cancellation_id)
                if isinstance(event, ShipmentSent):
                    parcels.append(event.shipment_id)
    assert len(answers) == len(set(answers))
    assert len(parcels) == len(set(parcels))
    if root.round and not parcels:
        assert plus((*root.cancelled, *root.open_lines)) == root.lines
    assert minus(root.cancelled, root.lines) == ()
