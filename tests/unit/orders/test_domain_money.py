"""What orders does about money: paid or not, late, too much, given back, disputed."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from services.orders import domain
from services.orders.domain import (
    CancellationOutcome,
    CancellationReason,
    CancellationState,
    DisputeState,
    Money,
    OrderState,
    PaymentFailurePolicy,
    PaymentVerdict,
    Policies,
    events,
    facts,
)
from services.orders.domain.money import kept
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import LATER, NOW, PAID, POLICIES, TOTAL, now_and, payment, placed, said

CANCEL = Policies(payment_failure=PaymentFailurePolicy.CANCEL)
ALL_MONEY = Money(TOTAL, "GBP")


def kinds(result: domain.Advanced) -> list[str]:
    return [type(event).__name__ for event in result.events]


def failed(version: int = 3, verdict: PaymentVerdict = PaymentVerdict.FAILED) -> facts.PaymentFailed:
    return facts.PaymentFailed(version=version, occurred_at=NOW + timedelta(minutes=10), snapshot=said(verdict))


def refunds(result: domain.Advanced) -> list[int]:
    return [event.amount.amount_minor for event in result.events if isinstance(event, events.RefundRequested)]


def incidents(result: domain.Advanced) -> set[str]:
    return {incident.kind for incident in result.incidents}


@pytest.mark.requirement("R-2.9", "S-17")
def test_only_the_confirmed_event_echoes_the_cart() -> None:
    result = now_and(placed(), cases.succeeded())
    assert kinds(result) == ["OrderConfirmed", "StockCommitRequested"]
    assert result.events[0] == events.OrderConfirmed("7K3M92QXTF", "cart", ALL_MONEY)
    assert result.order.version == 1
    with_a_cart = [cls for cls in vars(events).values() if "cart_id" in getattr(cls, "__dataclass_fields__", {})]
    assert with_a_cart == [events.OrderConfirmed]


@pytest.mark.requirement("R-2.9", "R-2.12")
def test_a_failure_leaves_the_order_payable_until_half_an_hour_after_it() -> None:
    result = now_and(placed(), failed())
    assert result.events == (events.OrderPaymentFailed("7K3M92QXTF", NOW + timedelta(minutes=40)),)
    assert result.order.state is OrderState.PENDING
    assert domain.due_at(result.order, POLICIES) == NOW + timedelta(minutes=40)
    assert now_and(result.order, failed()).events == (), "told once"


@pytest.mark.requirement("R-2.9", "R-2.10")
def test_a_failure_cancels_at_once_where_the_shop_wants_it() -> None:
    result = now_and(placed(), failed(), policies=CANCEL)
    assert kinds(result) == ["PaymentCancellationRequested"]
    ended = now_and(result.order, cases.settled(result.order, said()), policies=CANCEL)
    assert kinds(ended) == ["StockReleaseRequested", "OrderCancelled"]


@pytest.mark.requirement("R-1.14", "S-25")
def test_a_late_failure_never_overwrites_a_success() -> None:
    result = now_and(placed(), cases.succeeded(version=5), failed(version=3))
    assert result.order.payment.verdict is PaymentVerdict.PAID
    assert "OrderPaymentFailed" not in kinds(result)


@pytest.mark.requirement("R-1.14", "S-25")
def test_every_permutation_of_payment_facts_moves_the_columns_alike() -> None:
    partly = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=60)
    told = (
        payment(facts.PaymentCreated, 1, said()),
        failed(version=2),
        payment(facts.PaymentCaptured, 3),
        payment(facts.PaymentExcessReceived, 4, object_id="pi_9", amount=Money(10, "GBP")),
        payment(facts.RefundSucceeded, 5, partly, refund_id="", amount=Money(60, "GBP")),
        cases.dispute(DisputeState.OPEN, 6, refunded_minor=60),
        cases.dispute(DisputeState.WON, 7, refunded_minor=60),
    )
    ends = set()
    for order_of_arrival in permutations(told):
        order = placed()
        for fact in (*order_of_arrival, order_of_arrival[0]):
            order = domain.apply_fact(order, fact).order
        ends.add(order)
    assert len(ends) == 1


@pytest.mark.requirement("R-1.15", "S-17")
@pytest.mark.parametrize(
    "shown",
    [
        said(PaymentVerdict.MISMATCHED, captured_minor=TOTAL - 1),
        said(PaymentVerdict.MISMATCHED, captured_minor=TOTAL, currency_differs=True),
        said(PaymentVerdict.PAID, captured_minor=TOTAL - 1, due_minor=TOTAL - 1),
        said(PaymentVerdict.PAID, captured_minor=TOTAL, currency="EUR"),
    ],
    ids=["too-little", "other-currency", "payments-knows-another-total", "payments-knows-another-currency"],
)
def test_money_that_differs_is_an_incident_and_never_a_paid_order(shown: facts.Snapshot) -> None:
    result = now_and(placed(), payment(facts.PaymentMismatched, 5, shown, provider_object_id="pi_1"), now=LATER)
    assert result.order.state is OrderState.PENDING
    assert "payment_mismatched" in incidents(result)


@pytest.mark.requirement("R-1.15")
def test_a_payable_that_differs_from_the_frozen_total_is_an_incident() -> None:
    assert "payable_differs" in incidents(now_and(placed(), payment(facts.PaymentCreated, 1, said(due_minor=1))))


@pytest.mark.requirement("S-17", "R-1.19")
def test_a_lapsed_order_with_one_share_paid_is_cancelled_and_the_share_given_back() -> None:
    half = said(PaymentVerdict.UNPAID, captured_minor=100)
    order = now_and(placed(), payment(facts.PaymentShareSucceeded, 4, half), now=LATER).order
    assert order.cancellation.reason is CancellationReason.EXPIRED
    ended = now_and(order, cases.settled(order, half), now=LATER)
    assert ended.order.state is OrderState.CANCELLED
    assert refunds(ended) == [100]


@pytest.mark.requirement("R-1.21", "S-11")
def test_authorized_money_is_captured_when_stock_is_committed() -> None:
    authorized = said(PaymentVerdict.AUTHORIZED, authorized_minor=TOTAL)
    order = now_and(placed(), payment(facts.PaymentAuthorized, 3, authorized)).order
    result = now_and(order, cases.committed(order))
    assert result.events == (events.PaymentCaptureRequested("order:capture:1", ALL_MONEY),)
    assert kinds(now_and(result.order, payment(facts.PaymentCaptured, 4))) == [
        "OrderProcessing",
        "FulfillmentRequested",
    ]
    still = payment(facts.PaymentCaptureFailed, 4, authorized, request_id="order:capture:1")
    assert now_and(result.order, still).order.cancellation.reason is CancellationReason.PAYMENT_FAILED
    lapsed = payment(facts.PaymentAuthorizationExpired, 4, said(PaymentVerdict.CANCELED))
    assert now_and(order, lapsed).order.cancellation.reason is CancellationReason.PAYMENT_FAILED


@pytest.mark.requirement("R-1.16", "S-2", "S-11")
def test_money_for_an_expired_order_opens_a_new_round() -> None:
    result = now_and(cases.expired(), cases.succeeded(version=90), now=LATER)
    assert kinds(result) == ["OrderReopened", "StockCommitRequested"]
    assert incidents(result) == {"late_money"}
    order = result.order
    assert (order.state, order.round) == (OrderState.CONFIRMED, 2)
    old = facts.StockCommitted(version=9, occurred_at=NOW, request_id="order:commit:1", round=1)
    assert domain.apply_fact(order, old).outcome is not domain.Outcome.APPLIED
    assert kinds(now_and(order, cases.committed(order), now=LATER)) == ["OrderProcessing", "FulfillmentRequested"]


@pytest.mark.requirement("R-1.16", "S-18")
@pytest.mark.parametrize("reason", [CancellationReason.CUSTOMER, CancellationReason.ADMIN])
def test_money_after_a_persons_cancellation_is_given_back_once(reason: CancellationReason) -> None:
    asked = cases.cancelled_by(placed(), reason).order
    order = now_and(asked, cases.settled(asked, said())).order
    result = now_and(order, payment(facts.PaymentCaptured, 90), payment(facts.PaymentSucceeded, 91))
    assert refunds(result) == [TOTAL]
    assert result.order.state is OrderState.CANCELLED
    assert incidents(result) == {"late_money"}


@pytest.mark.requirement("R-1.16", "S-8")
def test_a_persons_wish_replaces_expired_even_when_that_is_done() -> None:
    order = cases.cancelled_by(cases.expired(), CancellationReason.CUSTOMER).order
    result = now_and(order, cases.succeeded(version=90), now=LATER)
    assert result.order.state is OrderState.CANCELLED
    assert refunds(result) == [TOTAL]


@pytest.mark.requirement("R-1.16")
def test_an_archived_order_gives_back_late_money_unless_it_was_delivered() -> None:
    gone = domain.archive(cases.expired(), "admin")
    assert isinstance(gone, domain.Advanced)
    assert refunds(now_and(gone.order, cases.succeeded(version=90))) == [TOTAL]
    assert refunds(now_and(cases.archived(), payment(facts.PaymentSucceeded, 90))) == []


@pytest.mark.requirement("S-14", "S-18")
def test_excess_is_asked_back_once_and_from_its_capture() -> None:
    much = said(PaymentVerdict.PAID, captured_minor=TOTAL + 40)
    excess = payment(facts.PaymentExcessReceived, 6, much, object_id="pi_2", amount=Money(40, "GBP"))
    result = now_and(cases.confirmed(), excess, excess)
    assert result.events == (events.RefundRequested("order:refund:1", Money(40, "GBP"), "pi_2", "more than due"),)
    assert incidents(result) == {"excess_money"}
    foreign = payment(facts.PaymentExcessReceived, 6, object_id="pi_3", amount=Money(7, "EUR"))
    assert now_and(cases.confirmed(), foreign).events[0] == events.RefundRequested(
        "order:refund:1", Money(7, "EUR"), "pi_3", "more than due"
    )


@pytest.mark.requirement("S-18")
def test_money_that_is_asked_back_is_not_asked_twice() -> None:
    order = cases.cancelled()
    twice = said(PaymentVerdict.PAID, captured_minor=2 * TOTAL)
    result = now_and(
        order,
        payment(facts.PaymentCaptured, 90, twice),
        payment(facts.PaymentExcessReceived, 91, twice, object_id="pi_2", amount=ALL_MONEY),
    )
    assert refunds(result) == [TOTAL]
    assert kept(result.order) == 0


@pytest.mark.requirement("S-18", "R-1.12")
def test_a_failed_refund_stays_due_and_is_an_incident() -> None:
    order = cases.cancelled()
    fact = payment(facts.RefundFailed, 90, PAID, refund_id="order:refund:1", amount=ALL_MONEY)
    result = now_and(order, fact)
    assert incidents(result) == {"refund_failed"}
    assert result.events == ()
    retried = payment(facts.RefundSucceeded, 91, cases.REFUNDED, refund_id="order:refund:1", amount=ALL_MONEY)
    assert kept(now_and(result.order, retried).order) == 0


@pytest.mark.requirement("S-9")
def test_only_the_named_answer_ends_the_wait_for_payments() -> None:
    order = cases.cancelling()
    told = (
        payment(facts.PaymentCanceled, 60, said(PaymentVerdict.CANCELED)),
        payment(facts.PaymentFailed, 61, said(PaymentVerdict.FAILED)),
        payment(facts.PaymentSucceeded, 62),
        payment(facts.PaymentCancellationDelayed, 63, cancellation_id=order.cancellation_id),
    )
    after = now_and(order, *told, cases.stopped(order, cases.ALL))
    assert after.events == ()
    assert after.order.cancellation.state is CancellationState.REQUESTED
    assert now_and(after.order, cases.settled(order, version=70)).order.state is OrderState.CANCELLED
    assert after.order.cancellation.payment_answer is None
    assert CancellationOutcome.MONEY_TAKEN == "MONEY_TAKEN"
