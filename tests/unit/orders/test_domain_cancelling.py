"""Section 4 of the saga: ask, wait for both, then say how it ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.orders import domain
from services.orders.domain import (
    CancellationReason,
    CancellationState,
    LineQuantity,
    Money,
    Order,
    OrderState,
    PaymentVerdict,
    Refusal,
    events,
    facts,
)
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import ALL, LATER, NOW, POLICIES, TOTAL, now_and, payment, placed, said, units
from tests.unit.orders.test_domain_money import incidents, kinds, refunds

CUSTOMER, ADMIN = CancellationReason.CUSTOMER, CancellationReason.ADMIN


def in_making() -> Order:
    order = cases.processing()
    return now_and(order, cases.submitted(order)).order


@pytest.mark.requirement("S-8", "R-2.10")
def test_before_fulfilment_only_payments_is_asked() -> None:
    result = cases.cancelled_by(placed(), CUSTOMER)
    assert result.events == (events.PaymentCancellationRequested("order:cancel:1", CUSTOMER),)
    assert result.order.cancellation.state is CancellationState.REQUESTED


@pytest.mark.requirement("S-8", "R-2.10")
def test_once_fulfilment_was_asked_for_it_is_asked_to_stop() -> None:
    result = cases.cancelled_by(cases.processing(), CUSTOMER)
    assert result.events == (
        events.PaymentCancellationRequested("order:cancel:1", CUSTOMER),
        events.FulfillmentCancellationRequested("order:cancel:1", "order:fulfil:1"),
    )


@pytest.mark.requirement("S-8", "R-6.1")
def test_a_customers_wish_after_submission_is_decided_by_an_operator() -> None:
    proposed = cases.cancelled_by(in_making(), CUSTOMER)
    assert proposed.events == ()
    assert proposed.order.cancellation.state is CancellationState.PROPOSED
    due = domain.due_at(proposed.order, POLICIES)
    assert due == NOW + timedelta(hours=24)
    late = domain.tick(proposed.order, due, POLICIES)
    assert incidents(late) == {"cancellation_undecided"}
    assert domain.due_at(late.order, POLICIES) is None
    approved = domain.decide_cancellation(proposed.order, True, "admin", NOW, POLICIES)
    assert isinstance(approved, domain.Advanced)
    assert kinds(approved) == ["PaymentCancellationRequested", "FulfillmentCancellationRequested"]
    declined = domain.decide_cancellation(proposed.order, False, "admin", NOW, POLICIES)
    assert isinstance(declined, domain.Advanced)
    assert declined.events == (events.OrderCancellationRefused("7K3M92QXTF", "order:cancel:1", CUSTOMER),)
    assert isinstance(domain.decide_cancellation(declined.order, True, "admin", NOW, POLICIES), Refusal)


@pytest.mark.requirement("S-8")
def test_a_proposal_is_over_when_nothing_is_left_to_stop() -> None:
    order = cases.cancelled_by(in_making(), CUSTOMER).order
    result = now_and(order, cases.parcel(order, facts.ShipmentSent, "all", ALL))
    assert kinds(result) == ["OrderShipped", "StockShipRequested", "OrderCancellationRefused"]


@pytest.mark.requirement("S-8", "S-11")
def test_a_persons_wish_replaces_expired() -> None:
    order = domain.tick(placed(), LATER, POLICIES).order
    stronger = cases.cancelled_by(order, CUSTOMER)
    assert stronger.events == ()
    paid = said(PaymentVerdict.PAID, captured_minor=TOTAL)
    ended = now_and(stronger.order, cases.settled(stronger.order, paid), now=LATER)
    assert ended.order.state is OrderState.CANCELLED
    assert refunds(ended) == [TOTAL]


@pytest.mark.requirement("R-2.3", "R-2.10")
@pytest.mark.parametrize("make", [cases.delivered, cases.cancelled, cases.refunded, cases.archived])
def test_what_has_ended_is_not_cancelled(make: object) -> None:
    assert callable(make)
    refused = domain.cancel(make(), ADMIN, "admin", NOW, POLICIES)
    assert isinstance(refused, Refusal)
    assert refused.reason == "NOT_CANCELLABLE"


@pytest.mark.requirement("R-2.3")
def test_only_what_has_ended_is_archived() -> None:
    assert isinstance(domain.archive(cases.shipped(), "admin"), Refusal)
    archived = domain.archive(cases.cancelled(), "admin")
    assert isinstance(archived, domain.Advanced)
    assert archived.events == (events.OrderArchived("7K3M92QXTF"),)


@pytest.mark.requirement("S-30")
def test_while_it_is_requested_facts_move_columns_and_nothing_else_happens() -> None:
    order = cases.cancelled_by(placed()).order
    told: list[facts.Fact] = [
        cases.succeeded(),
        payment(facts.PaymentExcessReceived, 7, object_id="pi_2", amount=Money(5, "GBP")),
        facts.StockUnavailable(version=1, occurred_at=NOW, request_id="", round=1),
    ]
    after = now_and(order, *told, now=LATER)
    assert after.events == ()
    assert after.history == ()
    assert after.order.payment.verdict is PaymentVerdict.PAID
    assert domain.tick(after.order, LATER, POLICIES).events == ()


@pytest.mark.requirement("S-30")
def test_a_late_answer_of_inventory_is_stale_after_the_cancellation() -> None:
    order = cases.cancelled()
    assert domain.apply_fact(order, cases.committed(order)).outcome is domain.Outcome.STALE


@pytest.mark.requirement("S-30", "S-11")
def test_a_cause_that_was_refused_is_not_asked_again() -> None:
    order = now_and(
        in_making(),
        payment(facts.RefundSucceeded, 60, cases.REFUNDED, refund_id="", amount=Money(TOTAL, "GBP")),
    ).order
    refused = facts.FulfillmentCancellationRefused(version=4, occurred_at=NOW, cancellation_id=order.cancellation_id)
    result = now_and(order, cases.settled(order, cases.REFUNDED), refused)
    assert result.events == (
        events.OrderCancellationRefused("7K3M92QXTF", "order:cancel:1", CancellationReason.REFUNDED),
    )
    assert result.order.state is OrderState.PROCESSING
    assert domain.tick(result.order, LATER, POLICIES).events == ()


@pytest.mark.requirement("S-11")
def test_it_waits_for_both_answers_in_any_order() -> None:
    order = cases.cancelling()
    answers: list[facts.Fact] = [cases.settled(order), cases.stopped(order, ALL)]
    for first, second in (answers, answers[::-1]):
        waiting = now_and(order, first)
        assert waiting.events == ()
        ended = now_and(waiting.order, second)
        assert kinds(ended) == ["StockReleaseRequested", "RefundRequested", "OrderCancelled"]
        assert ended.events[0] == events.StockReleaseRequested("order:release:1", 1, ())
        assert ended.order.open_units == ()


@pytest.mark.requirement("S-11", "R-2.12", "R-1.16")
def test_money_that_wins_the_race_against_expiry_is_honoured() -> None:
    order = domain.tick(placed(), LATER, POLICIES).order
    assert order.cancellation.reason is CancellationReason.EXPIRED
    result = now_and(
        order,
        cases.succeeded(),
        cases.settled(order, said(PaymentVerdict.PAID, captured_minor=TOTAL)),
        now=LATER,
    )
    assert kinds(result) == ["OrderCancellationRefused", "OrderConfirmed", "StockCommitRequested"]
    assert incidents(result) == {"money_after_cancellation"}


@pytest.mark.requirement("S-11")
def test_an_authorisation_alone_does_not_win_against_expiry() -> None:
    order = domain.tick(placed(), LATER, POLICIES).order
    authorized = said(PaymentVerdict.AUTHORIZED, authorized_minor=TOTAL)
    seen = now_and(order, payment(facts.PaymentAuthorized, 5, authorized), now=LATER).order
    ended = now_and(seen, cases.settled(seen, said(PaymentVerdict.CANCELED)), now=LATER)
    assert kinds(ended) == ["StockReleaseRequested", "OrderCancelled"]


@pytest.mark.requirement("S-11", "S-10")
def test_units_that_cannot_be_stopped_go_on_and_the_others_are_given_back() -> None:
    order = cases.cancelling()
    result = now_and(order, cases.settled(order), cases.stopped(order, units((1, 1)), units((1, 1), (2, 1))))
    amount = Money(94, "GBP")  # 100 of 350, less its share of the discount of 20
    assert result.events == (
        events.StockReleaseRequested("order:release:1", 1, units((1, 1))),
        events.RefundRequested("order:refund:1", amount, "", "units cancelled"),
        events.OrderPartiallyCancelled("7K3M92QXTF", units((1, 1)), amount),
    )
    assert result.order.cancellation.state is CancellationState.NONE
    assert result.order.state is OrderState.PROCESSING
    again = cases.cancelled_by(result.order)
    assert again.order.cancellation_id == "order:cancel:2"
    ended = now_and(again.order, cases.settled(again.order, version=99), cases.stopped(again.order, ALL))
    assert refunds(ended) == [TOTAL - 94]
    assert ended.order.state is OrderState.CANCELLED


@pytest.mark.requirement("S-11")
def test_what_has_shipped_is_never_cancelled() -> None:
    order = cases.cancelled_by(cases.shipped()).order
    rest = units((1, 1), (2, 1))
    result = now_and(order, cases.settled(order), cases.stopped(order, rest, units((1, 1))))
    assert kinds(result) == ["StockReleaseRequested", "RefundRequested", "OrderPartiallyCancelled"]
    assert result.order.state is OrderState.SHIPPED
    arrived = cases.parcel(result.order, facts.ShipmentDelivered, "one", units((1, 1)))
    assert now_and(result.order, arrived).order.state is OrderState.DELIVERED


@pytest.mark.requirement("S-9", "S-10")
def test_answers_to_other_cancellations_do_not_count() -> None:
    order = cases.cancelling()
    foreign = facts.FulfillmentCancelled(
        version=9, occurred_at=NOW, cancellation_id="order:cancel:7", cancelled=(LineQuantity(1, "A", 2),)
    )
    assert domain.apply_fact(order, foreign).outcome is domain.Outcome.CONTRADICTION
    answered = now_and(order, cases.settled(order)).order
    assert domain.apply_fact(answered, cases.settled(order)).outcome is domain.Outcome.STALE


@pytest.mark.requirement("S-8", "S-9")
def test_a_cancellation_without_answers_is_an_incident_after_a_day() -> None:
    order = cases.cancelling()
    due = domain.due_at(order, POLICIES)
    assert due == NOW + timedelta(hours=24)
    assert incidents(domain.tick(order, due, POLICIES)) == {"cancellation_waits"}


@pytest.mark.requirement("R-2.12")
def test_an_unpaid_order_expires_at_its_deadline() -> None:
    order = placed()
    assert domain.due_at(order, POLICIES) == order.payable_until
    assert domain.tick(order, order.payable_until - timedelta(seconds=1), POLICIES).order == order
    assert domain.tick(order, order.payable_until, POLICIES).order.cancellation.reason is CancellationReason.EXPIRED


@pytest.mark.requirement("S-8", "R-1.16")
@pytest.mark.parametrize(
    ("reason", "then"),
    [
        (CancellationReason.CUSTOMER, CancellationReason.CUSTOMER),
        (CancellationReason.ADMIN, CancellationReason.ADMIN),
        (CancellationReason.PAYMENT_FAILED, CancellationReason.EXPIRED),
    ],
)
def test_only_a_persons_wish_replaces_that_it_expired(reason: CancellationReason, then: CancellationReason) -> None:
    """Money that comes late reopens an order that expired; a person who wants no goods gets it back."""
    order = placed()
    expiring = domain.tick(order, order.payable_until, POLICIES).order
    wished = domain.cancel(expiring, reason, "somebody", order.payable_until, POLICIES)
    assert isinstance(wished, domain.Advanced)
    assert wished.order.cancellation.reason is then
