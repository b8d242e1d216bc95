"""Each event that orders reads, in each state, has one named outcome (S-31)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.orders import domain
from services.orders.domain import DisputeState, Money, Order, OrderState, PaymentVerdict, facts
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import IN_STATE, NOW, POLICIES, payment, said, units

MONEY = Money(cases.TOTAL, "GBP")
ONE = units((1, 1))


def _refund(kind: type[facts.PaymentFact]) -> Callable[[Order], facts.Fact]:
    """Of the refund that orders asked for, else of one made at the provider."""

    def make(order: Order) -> facts.Fact:
        asked = [refund.refund_id for refund in order.progress.refunds]
        refund_id = (*asked, "")[0]
        fact: facts.Fact = payment(kind, order.payment.version + 1, _as_it_is(order), refund_id=refund_id, amount=MONEY)
        return fact

    return make


def _paid(kind: type[facts.PaymentFact], **more: object) -> Callable[[Order], facts.Fact]:
    return lambda order: payment(kind, order.payment.version + 1, _as_it_is(order), **more)


def _as_it_is(order: Order) -> facts.Snapshot:
    now = order.payment
    return said(now.verdict, captured_minor=now.captured_minor, refunded_minor=now.refunded_minor)


def _stock(kind: type[facts.StockFact], request: str, **more: object) -> Callable[[Order], facts.Fact]:
    def make(order: Order) -> facts.Fact:
        asked = [each for each in order.progress.asked if f":{request}:" in each]
        request_id = asked[-1] if asked else f"order:{request}:1"
        return kind(version=9, occurred_at=NOW, request_id=request_id, **more)

    return make


def _goods(kind: type[facts.Fact], **more: object) -> Callable[[Order], facts.Fact]:
    def make(order: Order) -> facts.Fact:
        wanted = {
            "request_id": order.fulfillment_id,
            "round": order.round,
            "cancellation_id": order.cancellation_id,
            "shipment_id": "new",
            "lines": ONE,
            "return_id": "return",
        }
        fields = {name: value for name, value in wanted.items() if name in kind.__dataclass_fields__}
        return kind(version=9, occurred_at=NOW, **{**fields, **more})

    return make


EVENTS: dict[str, Callable[[Order], facts.Fact]] = {
    "PaymentCreated": _paid(facts.PaymentCreated),
    "PaymentRequiresAction": _paid(facts.PaymentRequiresAction),
    "PaymentProcessing": _paid(facts.PaymentProcessing),
    "PaymentAuthorized": _paid(facts.PaymentAuthorized),
    "PaymentCaptured": _paid(facts.PaymentCaptured),
    "PaymentCaptureFailed": _paid(facts.PaymentCaptureFailed, request_id="order:capture:1"),
    "PaymentSucceeded": _paid(facts.PaymentSucceeded),
    "PaymentShareSucceeded": _paid(facts.PaymentShareSucceeded),
    "PaymentMismatched": _paid(facts.PaymentMismatched),
    "PaymentExcessReceived": _paid(facts.PaymentExcessReceived, object_id="pi_2", amount=MONEY),
    "PaymentFailed": _paid(facts.PaymentFailed),
    "PaymentCanceled": _paid(facts.PaymentCanceled),
    "PaymentCancellationSettled": lambda order: cases.settled(order, _as_it_is(order)),
    "PaymentCancellationDelayed": _paid(facts.PaymentCancellationDelayed, cancellation_id="order:cancel:1"),
    "PaymentAuthorizationExpired": _paid(facts.PaymentAuthorizationExpired),
    "RefundPending": _refund(facts.RefundPending),
    "RefundSucceeded": _refund(facts.RefundSucceeded),
    "RefundFailed": _refund(facts.RefundFailed),
    "DisputeOpened": lambda order: cases.dispute(DisputeState.OPEN, order.payment.version + 1),
    "DisputeClosed": lambda order: cases.dispute(DisputeState.WON, order.payment.version + 1),
    "StockCommitted": _stock(facts.StockCommitted, "commit", round=1),
    "StockUnavailable": _stock(facts.StockUnavailable, "commit", round=1),
    "StockReleased": _stock(facts.StockReleased, "release", round=1, lines=ONE),
    "StockShipped": _stock(facts.StockShipped, "ship"),
    "StockReturned": _stock(facts.StockReturned, "return"),
    "FulfillmentSubmitted": _goods(facts.FulfillmentSubmitted),
    "FulfillmentHeld": _goods(facts.FulfillmentHeld, request_id=""),
    "FulfillmentHoldRefused": _goods(facts.FulfillmentHoldRefused, request_id="order:hold:1"),
    "FulfillmentResumed": _goods(facts.FulfillmentResumed, request_id=""),
    "FulfillmentFailed": _goods(facts.FulfillmentFailed, lines=()),
    "FulfillmentCancelled": _goods(facts.FulfillmentCancelled, cancelled=cases.ALL),
    "FulfillmentCancellationRefused": _goods(facts.FulfillmentCancellationRefused),
    "ShipmentSent": _goods(facts.ShipmentSent),
    "ShipmentDelivered": _goods(facts.ShipmentDelivered),
    "ShipmentFailed": _goods(facts.ShipmentFailed),
    "ShipmentReturned": _goods(facts.ShipmentReturned),
    "ReturnAccepted": _goods(facts.ReturnAccepted),
    "ReturnRefused": _goods(facts.ReturnRefused),
    "ReturnReceived": _goods(facts.ReturnReceived),
}
"""The event as the partner would say it of this order: with the ids that the order gave, or would have given."""


STATES = tuple(IN_STATE)
A, S, C = domain.Outcome.APPLIED, domain.Outcome.STALE, domain.Outcome.CONTRADICTION
OUTCOMES: dict[str, str] = {
    "PaymentCreated": "A A A A A A A A A",
    "PaymentRequiresAction": "A A A A A A A A A",
    "PaymentProcessing": "A A A A A A A A A",
    "PaymentAuthorized": "A A A A A A A A A",
    "PaymentCaptured": "A A A A A A A A A",
    "PaymentCaptureFailed": "A A A A A A A A A",
    "PaymentSucceeded": "A A A A A A A A A",
    "PaymentShareSucceeded": "A A A A A A A A A",
    "PaymentMismatched": "A A A A A A A A A",
    "PaymentExcessReceived": "A A A A A A A A A",
    "PaymentFailed": "A A A A A A A A A",
    "PaymentCanceled": "A A A A A A A A A",
    "PaymentCancellationSettled": "C C C C C S C C A",
    "PaymentCancellationDelayed": "C C C C C A C C A",
    "PaymentAuthorizationExpired": "A A A A A A A A A",
    "RefundPending": "A A A A A A A A A",
    "RefundSucceeded": "A A A A A A A A A",
    "RefundFailed": "A A A A A A A A A",
    "DisputeOpened": "A A A A A A A A A",
    "DisputeClosed": "A A A A A A A A A",
    "StockCommitted": "C A S S S S S S S",
    "StockUnavailable": "C A C C C S C C C",
    "StockReleased": "C C C C C A C C C",
    "StockShipped": "C C C A A C A A C",
    "StockReturned": "C C C C C C C C C",
    "FulfillmentSubmitted": "C C A S S C S S A",
    "FulfillmentHeld": "C C A A S C S S A",
    "FulfillmentHoldRefused": "C C A A C C C C C",
    "FulfillmentResumed": "C C S S S C S S S",
    "FulfillmentFailed": "C C A A S C S S A",
    "FulfillmentCancelled": "C C C C C S C C A",
    "FulfillmentCancellationRefused": "C C C C C S C C A",
    "ShipmentSent": "C C A A C C C C A",
    "ShipmentDelivered": "C C A A C C C C A",
    "ShipmentFailed": "C C A A C C C C A",
    "ShipmentReturned": "C C A A C C C C A",
    "ReturnAccepted": "C C C A A C A A C",
    "ReturnRefused": "C C C A A C A A C",
    "ReturnReceived": "C C C A A C A A C",
}
"""One letter per state in the order of STATES: Applied, Stale or Contradiction."""


def _prepared(order: Order, event: str) -> Order:
    """With a return on its way, or with the hold that a dispute asks for, where the state allows them."""
    if event.startswith("Return"):
        asked = domain.request_return(order, "return", ONE)
        return asked.order if isinstance(asked, domain.Advanced) else order
    if event == "FulfillmentHoldRefused":
        return cases.now_and(order, cases.dispute(DisputeState.OPEN, order.payment.version + 1)).order
    return order


@pytest.mark.requirement("S-25", "S-31", "R-2.3")
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("number", range(len(STATES)), ids=STATES)
def test_each_event_in_each_state_has_its_outcome(event: str, number: int) -> None:
    order = _prepared(IN_STATE[STATES[number]](), event)
    wanted = OUTCOMES[event].split()[number]
    fact = EVENTS[event](order)
    folded, advanced = domain.decide(order, fact, NOW, POLICIES)
    assert folded.outcome[0] == wanted
    assert (folded.outcome is C) <= bool(folded.incidents), "a contradiction is an incident"
    assert (folded.outcome is S) <= (folded.order == order), "what is late changes nothing"
    assert all((entry.from_state, entry.to_state) in domain.TRANSITIONS for entry in advanced.history)


@pytest.mark.requirement("S-31")
def test_every_event_of_the_partners_is_in_the_table() -> None:
    from onefold.fulfillment.v1 import fulfillment_events_pb2
    from onefold.inventory.v1 import inventory_events_pb2
    from onefold.payments.v1 import payments_events_pb2

    told = {
        name
        for module in (payments_events_pb2, inventory_events_pb2, fulfillment_events_pb2)
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
        if "context" in message.fields_by_name
    }
    assert told == set(EVENTS) | facts.IGNORED_EVENTS
    assert set(EVENTS) == set(OUTCOMES)


@pytest.mark.requirement("S-31")
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_told_twice_changes_nothing_more(event: str) -> None:
    for make in IN_STATE.values():
        order = _prepared(make(), event)
        fact = EVENTS[event](order)
        folded, advanced = domain.decide(order, fact, NOW, POLICIES)
        again, more = domain.decide(advanced.order, fact, NOW, POLICIES)
        assert again.outcome in ({C} if folded.outcome is C else {S})
        assert not more.events


@pytest.mark.requirement("S-31", "R-2.3")
def test_the_cases_are_in_their_states() -> None:
    assert {state.value for state in OrderState} | {"cancelling"} == set(IN_STATE)
    assert all(name == "cancelling" or make().state is OrderState(name) for name, make in IN_STATE.items())
    assert cases.placed().payment.verdict is PaymentVerdict.UNPAID
