"""What orders does about money that goes back: refunds, returns of the whole, disputes, and sums of parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders import domain
from services.orders.domain import (
    CancellationReason,
    DisputeState,
    Money,
    Order,
    OrderState,
    PaymentVerdict,
    events,
    facts,
)
from services.orders.domain.money import ask_back, asked_back, kept, value_of, worth
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import TOTAL, now_and, payment, placed, said, units
from tests.unit.orders.test_domain_money import ALL_MONEY, incidents, kinds

prices = st.integers(0, 10_000)
ways_to_go = st.permutations([1, 1, 2]).flatmap(lambda lines: st.integers(1, 3).map(lambda count: lines[:count]))


@pytest.mark.requirement("R-1.12", "S-11")
def test_a_refund_of_all_before_shipping_is_a_cancellation_that_ends_in_refunded() -> None:
    back = payment(facts.RefundSucceeded, 60, cases.REFUNDED, refund_id="", amount=ALL_MONEY)
    result = now_and(cases.processing(), back)
    assert kinds(result) == ["PaymentCancellationRequested", "FulfillmentCancellationRequested"]
    order = result.order
    ended = now_and(order, cases.settled(order, cases.REFUNDED), cases.stopped(order, cases.ALL))
    assert kinds(ended) == ["StockReleaseRequested", "OrderRefunded"]
    assert ended.order.state is OrderState.REFUNDED


@pytest.mark.requirement("R-1.12", "R-3.6", "S-19")
def test_a_refund_after_delivery_moves_no_stock() -> None:
    part = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=60)
    first = now_and(cases.delivered(), payment(facts.RefundSucceeded, 60, part, refund_id="", amount=Money(60, "GBP")))
    assert first.events == (events.OrderPartiallyRefunded("7K3M92QXTF", Money(60, "GBP")),)
    rest = payment(facts.RefundSucceeded, 61, cases.REFUNDED, refund_id="", amount=Money(300, "GBP"))
    second = now_and(first.order, rest)
    assert second.events == (events.OrderRefunded("7K3M92QXTF", ALL_MONEY),)
    assert incidents(second) == {"refunded_without_return"}


@pytest.mark.requirement("S-23", "R-1.22")
def test_an_open_dispute_keeps_the_goods_back_until_it_is_won() -> None:
    order = cases.confirmed()
    held = now_and(order, cases.dispute(DisputeState.OPEN, 60), cases.committed(order))
    assert held.events == ()
    assert incidents(held) == {"dispute_opened"}
    won = now_and(held.order, cases.dispute(DisputeState.WON, 61))
    assert kinds(won) == ["OrderProcessing", "FulfillmentRequested"]


@pytest.mark.requirement("S-23", "R-1.22")
def test_a_dispute_holds_what_was_submitted_and_a_lost_one_cancels_without_refund() -> None:
    result = now_and(cases.processing(), cases.dispute(DisputeState.OPEN, 60))
    assert result.events == (events.FulfillmentHoldRequested("order:hold:1", "dispute"),)
    won = now_and(result.order, cases.dispute(DisputeState.WON, 61))
    assert won.events == (events.FulfillmentResumeRequested("order:resume:1"),)
    lost = now_and(result.order, cases.dispute(DisputeState.LOST, 61)).order
    assert lost.cancellation.reason is CancellationReason.DISPUTE_LOST
    gone = said(PaymentVerdict.PAID, captured_minor=TOTAL, dispute=DisputeState.LOST)
    ended = now_and(lost, cases.settled(lost, gone, version=62), cases.stopped(lost, cases.ALL))
    assert kinds(ended) == ["StockReleaseRequested", "OrderCancelled"]


@pytest.mark.requirement("S-11", "R-1.20")
@given(ways_to_go, prices, prices, prices, st.integers(-5_000, 5_000))
def test_parts_of_a_refund_never_exceed_the_whole(
    given_back: list[int], first: int, second: int, shipping: int, adjustments: int
) -> None:
    subtotal = 2 * first + second
    total = max(0, subtotal + shipping + adjustments)
    lines = (domain.Line(1, "A", 2, first), domain.Line(2, "B", 1, second))
    order: Order = placed(
        lines=lines, subtotal_minor=subtotal, shipping_minor=shipping, adjustments_minor=adjustments, total_minor=total
    )
    order = replace(order, payment=replace(order.payment, captured_minor=total))
    sum_of_parts, gone = 0, {1: 0, 2: 0}
    for line in given_back:
        if gone[line] < lines[line - 1].ordered:
            part = worth(order, units((line, 1)))
            assert part >= 0
            sum_of_parts += part
            order, _ = ask_back(order, part, "units gone")
            gone[line] += 1
            order = replace(order, lines=tuple(replace(each, cancelled=gone[each.line]) for each in order.lines))
    assert sum_of_parts == value_of(order, gone) <= total
    assert gone != {1: 2, 2: 1} or sum_of_parts == total


def _failed_then_given_at_the_provider(*given: int, before: int = 0) -> Order:
    """Delivered; a refund of 100 failed, and what a person gave back at the provider before and since."""
    order, back = cases.delivered(), before
    if before:
        order = now_and(order, _given(80, before, before, "re_0")).order
    order, (asked,) = ask_back(order, 100, "goods returned")
    still = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=back)
    failed = payment(facts.RefundFailed, 90, still, refund_id=asked.refund_id, amount=Money(100, "GBP"))
    order = now_and(order, failed).order
    for number, amount in enumerate(given, 1):
        back += amount
        order = now_and(order, _given(90 + number, amount, back, f"re_{number}")).order
    return order


def _given(version: int, amount: int, sum_of_all: int, provider_refund_id: str) -> facts.RefundSucceeded:
    after = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=sum_of_all)
    ids = {"refund_id": "", "provider_refund_id": provider_refund_id}
    fact: facts.RefundSucceeded = payment(facts.RefundSucceeded, version, after, amount=Money(amount, "GBP"), **ids)
    return fact


@pytest.mark.requirement("S-18", "R-1.12")
@pytest.mark.parametrize(
    ("given", "before", "asked"),
    [
        ((100,), 0, 0),
        ((40,), 0, 60),
        ((40, 60), 0, 0),
        ((150,), 0, 0),
        ((), 60, 100),
        ((30,), 60, 70),
    ],
    ids=["repaired", "in part", "in two", "more", "before it failed", "before and after"],
)
def test_a_failed_refund_that_a_person_made_at_the_provider_is_not_owed_twice(
    given: tuple[int, ...], before: int, asked: int
) -> None:
    order = _failed_then_given_at_the_provider(*given, before=before)
    assert asked_back(order) == asked
    assert kept(order) == TOTAL - before - sum(given) - asked


@pytest.mark.requirement("S-18", "R-1.14")
def test_a_refund_made_at_the_provider_that_comes_back_repairs_nothing() -> None:
    order = _failed_then_given_at_the_provider(100)
    again = _given(91, 100, 100, "re_1")
    assert now_and(order, again).order == order
    nothing = said(PaymentVerdict.PAID, captured_minor=TOTAL)
    back = payment(facts.RefundFailed, 95, nothing, refund_id="", provider_refund_id="re_1", amount=Money(100, "GBP"))
    order = now_and(order, back).order
    assert (asked_back(order), kept(order)) == (100, TOTAL - 100)
    assert now_and(order, again).order == order


@pytest.mark.requirement("S-18", "R-1.12")
def test_no_more_is_owed_than_is_left_where_somebody_at_the_provider_was_faster() -> None:
    order, (asked,) = ask_back(cases.delivered(), 100, "goods returned")
    order = now_and(order, _given(90, TOTAL - 40, TOTAL - 40, "re_1")).order
    rest = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=TOTAL - 40)
    failed = payment(facts.RefundFailed, 91, rest, refund_id=asked.refund_id, amount=Money(100, "GBP"))
    order = now_and(order, failed).order
    assert (asked_back(order), kept(order)) == (40, 0)


@pytest.mark.requirement("S-18", "S-29", "R-1.12")
def test_an_operator_has_what_is_still_due_tried_again_once() -> None:
    order = _failed_then_given_at_the_provider(40)
    refund_id = order.progress.refunds[0].refund_id
    again = domain.retry_refund(order, refund_id)
    assert isinstance(again, domain.Advanced)
    assert again.events == (events.RefundRequested(refund_id, Money(60, "GBP"), "", "asked for again"),)
    assert (asked_back(again.order), kept(again.order)) == (60, TOTAL - 100)
    assert isinstance(domain.retry_refund(again.order, refund_id), domain.Refusal)
    part = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=100)
    done = payment(facts.RefundSucceeded, 95, part, refund_id=refund_id, amount=Money(60, "GBP"))
    order = now_and(again.order, done).order
    assert (asked_back(order), kept(order)) == (0, TOTAL - 100)
    assert isinstance(domain.retry_refund(order, refund_id), domain.Refusal)
    whole = _failed_then_given_at_the_provider(100)
    assert isinstance(domain.retry_refund(whole, refund_id), domain.Refusal)


@pytest.mark.requirement("S-18", "R-1.14")
def test_the_old_failure_told_once_more_does_not_end_the_new_try() -> None:
    order = _failed_then_given_at_the_provider()
    refund_id = order.progress.refunds[0].refund_id
    again = domain.retry_refund(order, refund_id)
    assert isinstance(again, domain.Advanced)
    still = said(PaymentVerdict.PAID, captured_minor=TOTAL)
    told = payment(facts.RefundFailed, 90, still, refund_id=refund_id, amount=Money(100, "GBP"))
    assert now_and(again.order, told).order == again.order
    failed = payment(facts.RefundFailed, 91, still, refund_id=refund_id, amount=Money(100, "GBP"))
    assert isinstance(domain.retry_refund(now_and(again.order, failed).order, refund_id), domain.Advanced)


@pytest.mark.requirement("S-11", "R-1.20")
def test_what_was_rounded_off_goes_back_with_the_last_unit() -> None:
    lines = (domain.Line(1, "A", 3, 3_350),)
    order: Order = placed(lines=lines, subtotal_minor=10_050, adjustments_minor=-50, total_minor=10_000)
    order = replace(order, payment=replace(order.payment, captured_minor=10_000))
    moved = []
    for gone in range(1, 4):
        order, (asked,) = ask_back(order, worth(order, units((1, 1))), "units cancelled")
        moved.append(asked.amount.amount_minor // 100 * 100)
        told = said(PaymentVerdict.PAID, captured_minor=10_000, refunded_minor=sum(moved))
        amount = Money(moved[-1], "GBP")
        done = payment(facts.RefundSucceeded, 60 + gone, told, refund_id=asked.refund_id, amount=amount)
        order = domain.apply_fact(order, done).order
        order = replace(order, lines=(replace(order.lines[0], cancelled=gone),))
    assert (moved, kept(order)) == ([3_300, 3_300, 3_400], 0)


@pytest.mark.requirement("R-1.16", "R-1.20")
def test_what_is_too_little_for_the_provider_is_asked_back_once_and_more_is_asked_again() -> None:
    order = cases.cancelled()
    most = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=TOTAL - 5)
    back = payment(facts.RefundSucceeded, 90, most, refund_id="order:refund:1", amount=Money(TOTAL - 5, "GBP"))
    result = now_and(order, back)
    assert [each.amount.amount_minor for each in result.events if isinstance(each, events.RefundRequested)] == [5]
    nothing = payment(facts.RefundSucceeded, 91, most, refund_id="order:refund:2", amount=Money(0, "GBP"))
    order = now_and(result.order, nothing).order
    assert (now_and(result.order, nothing).events, kept(order)) == ((), 5)
    more = said(PaymentVerdict.PAID, captured_minor=TOTAL + 100, refunded_minor=TOTAL - 5)
    again = now_and(order, payment(facts.PaymentCaptured, 92, more)).events
    assert [each.amount.amount_minor for each in again if isinstance(each, events.RefundRequested)] == [105]


@pytest.mark.requirement("S-18", "S-21", "R-1.22")
def test_goods_that_came_back_during_a_dispute_are_owed_once_it_is_won() -> None:
    disputed = now_and(cases.delivered(), cases.dispute(DisputeState.OPEN, 60)).order
    back = domain.Return("return", domain.ReturnState.RECEIVED, units((1, 1)))
    result = domain.tick(disputed.with_progress(returns=(back,)), cases.NOW, cases.POLICIES)
    assert (kinds(result), incidents(result)) == (["StockReturnRequested"], {"refund_failed"})
    order, refund_id = result.order, result.order.progress.refunds[0].refund_id
    assert (asked_back(order), kept(order)) == (0, 0)
    assert isinstance(domain.retry_refund(order, refund_id), domain.Refusal)
    won = now_and(order, cases.dispute(DisputeState.WON, 61)).order
    value = value_of(won, {1: 1})
    assert (asked_back(won), kept(won)) == (value, TOTAL - value)
    again = domain.retry_refund(won, refund_id)
    assert isinstance(again, domain.Advanced)
    assert again.events == (events.RefundRequested(refund_id, Money(value, "GBP"), "", "asked for again"),)
    lost = now_and(order, cases.dispute(DisputeState.LOST, 61)).order
    assert (asked_back(lost), kept(lost)) == (0, 0)
    assert isinstance(domain.retry_refund(lost, refund_id), domain.Refusal)


@pytest.mark.requirement("S-18", "R-1.22")
def test_what_a_dispute_leaves_is_asked_for_and_the_rest_is_owed() -> None:
    part, now = {"amount": Money(TOTAL - 50, "GBP"), "dispute_id": "dispute"}, cases.PAID
    disputed = now_and(cases.delivered(), payment(facts.DisputeOpened, 60, now, **part)).order
    back = domain.Return("return", domain.ReturnState.RECEIVED, cases.ALL)
    result = domain.tick(disputed.with_progress(returns=(back,)), cases.NOW, cases.POLICIES)
    asked = [each.amount.amount_minor for each in result.events if isinstance(each, events.RefundRequested)]
    assert (asked, [each.amount_minor for each in result.order.progress.refunds]) == ([50], [50, TOTAL - 50])
    won = now_and(result.order, payment(facts.DisputeClosed, 61, now, outcome=DisputeState.WON, **part)).order
    assert (asked_back(won), kept(won)) == (TOTAL, 0)


@pytest.mark.requirement("S-18", "R-1.22")
@pytest.mark.parametrize(
    ("asked", "given", "owed"),
    [(60, 0, [TOTAL - 60]), (0, 60, [TOTAL - 60]), (60, TOTAL - 60, [])],
    ids=["by us", "at the provider", "nothing is left"],
)
def test_what_went_back_before_is_not_owed_again_for_goods_that_came_back_during_a_dispute(
    asked: int, given: int, owed: list[int]
) -> None:
    order, _ = ask_back(cases.delivered(), asked, "goodwill")
    if given:
        order = now_and(order, _given(59, given, given, "re_goodwill")).order
    before = order.progress.refunds
    disputed = now_and(order, cases.dispute(DisputeState.OPEN, 60, refunded_minor=given)).order
    back = domain.Return("return", domain.ReturnState.RECEIVED, cases.ALL)
    result = domain.tick(disputed.with_progress(returns=(back,)), cases.NOW, cases.POLICIES)
    assert [each.amount_minor for each in result.order.progress.refunds[len(before) :]] == owed
    assert incidents(result) == ({"refund_failed"} if owed else set())


@pytest.mark.requirement("S-18", "R-1.12", "R-1.22")
def test_what_was_given_at_the_provider_before_goods_came_back_does_not_pay_for_them() -> None:
    open_with = {"captured_minor": TOTAL, "refunded_minor": 100, "dispute": DisputeState.OPEN}
    disputed = now_and(cases.delivered(), cases.dispute(DisputeState.OPEN, 60)).order
    goodwill = replace(_given(61, 100, 100, "re_goodwill"), snapshot=said(PaymentVerdict.PAID, **open_with))
    order = now_and(disputed, goodwill).order
    back = domain.Return("return", domain.ReturnState.RECEIVED, units((1, 1)))
    order = domain.tick(order.with_progress(returns=(back,)), cases.NOW, cases.POLICIES).order
    won = now_and(order, cases.dispute(DisputeState.WON, 62, refunded_minor=100)).order
    value = value_of(won, {1: 1})
    assert (asked_back(won), kept(won)) == (value, TOTAL - 100 - value)


@pytest.mark.requirement("S-18", "S-23", "R-1.22")
def test_goods_that_came_back_after_a_dispute_was_lost_are_not_owed() -> None:
    lost = now_and(cases.delivered(), cases.dispute(DisputeState.OPEN, 60), cases.dispute(DisputeState.LOST, 61)).order
    back = domain.Return("return", domain.ReturnState.RECEIVED, units((1, 1)))
    result = domain.tick(lost.with_progress(returns=(back,)), cases.NOW, cases.POLICIES)
    assert (kinds(result), incidents(result)) == (["StockReturnRequested"], set())
    assert result.order.progress.refunds == ()
