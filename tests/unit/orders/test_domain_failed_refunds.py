"""Refunds that failed, what a person made at the provider in their place, and tries of an operator, in any order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orders import domain
from services.orders.domain import Money, Order, PaymentVerdict, RefundState, facts
from services.orders.domain.money import ask_back, asked_back, kept, owed
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import TOTAL, payment, said

TOLD = {
    RefundState.PENDING: facts.RefundPending,
    RefundState.SUCCEEDED: facts.RefundSucceeded,
    RefundState.FAILED: facts.RefundFailed,
}
steps = st.tuples(
    st.sampled_from(
        ["ours fails", "ours succeeds", "retry", "given", "begun", "elsewhere fails", "elsewhere succeeds"]
    ),
    st.integers(0, 5),
    st.integers(1, 100),
)


class Desk:
    """A delivered order, what the provider knows of its refunds, and the people at both ends."""

    def __init__(self, *amounts: int) -> None:
        self.order: Order = cases.delivered()
        self.version = 60
        self.ours: dict[str, tuple[int, RefundState]] = {}
        self.elsewhere: dict[str, tuple[int, RefundState]] = {}
        for amount in amounts:
            self.order, (asked,) = ask_back(self.order, amount, "goods returned")
            self.ours[asked.refund_id] = (amount, RefundState.ASKED)

    def sums(self, *states: RefundState) -> int:
        """What went back, or is on its way, by state."""
        refunds = (*self.ours.values(), *self.elsewhere.values())
        return sum(amount for amount, state in refunds if state in states)

    def refund(self, number: int) -> str:
        return f"order:refund:{number}"

    def due(self, number: int) -> int:
        refund = next(each for each in self.order.progress.refunds if each.refund_id == self.refund(number))
        return owed(self.order, refund).amount_minor if refund.state is RefundState.FAILED else 0

    def listed(self) -> int:
        """What an operator sees as due."""
        return sum(self.due(number) for number in range(1, len(self.order.progress.refunds) + 1))

    def told(self, number: int, state: RefundState, amount: int | None = None) -> None:
        """Payments tells how a refund of ours stands."""
        refund_id = self.refund(number)
        self.ours[refund_id] = (self.ours[refund_id][0] if amount is None else amount, state)
        self._tell(state, self.ours[refund_id][0], refund_id=refund_id)

    def made(self, name: str, amount: int, state: RefundState = RefundState.SUCCEEDED) -> None:
        """Payments tells of one made at the provider."""
        self.elsewhere[name] = (amount, state)
        self._tell(state, amount, refund_id="", provider_refund_id=name)

    def retry(self, number: int) -> int:
        """An operator has it tried again; what is asked for, never more than payments can give."""
        left = TOTAL - self.sums(RefundState.ASKED, RefundState.PENDING, RefundState.SUCCEEDED)
        again = domain.retry_refund(self.order, self.refund(number))
        if isinstance(again, domain.Refusal):
            return 0
        (request,) = again.events
        assert isinstance(request, domain.events.RefundRequested)
        assert 0 < request.amount.amount_minor <= left
        self.order = again.order
        self.ours[request.refund_id] = (request.amount.amount_minor, RefundState.ASKED)
        return request.amount.amount_minor

    def _tell(self, state: RefundState, amount: int, **ids: str) -> None:
        self.version += 1
        back = self.sums(RefundState.SUCCEEDED)
        snapshot = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=back)
        fact: Any = payment(TOLD[state], self.version, snapshot, amount=Money(amount, "GBP"), **ids)
        self.order = domain.apply_fact(self.order, fact).order
        assert domain.apply_fact(self.order, fact).order == self.order


def one_step(desk: Desk, step: str, which: int, amount: int) -> None:
    """One of the steps, where it is possible."""
    number = which % len(desk.order.progress.refunds) + 1
    state = desk.ours.get(desk.refund(number), (0, RefundState.FAILED))[1]
    names = sorted(desk.elsewhere)
    name = names[which % len(names)] if names else ""
    match step:
        case "ours fails" if state is not RefundState.FAILED:
            desk.told(number, RefundState.FAILED)
        case "ours succeeds" if state is RefundState.ASKED:
            desk.told(number, RefundState.SUCCEEDED)
        case "retry":
            desk.retry(number)
        case "given" | "begun" if desk.listed():
            begun = RefundState.PENDING if step == "begun" else RefundState.SUCCEEDED
            desk.made(f"re_{len(names)}", min(amount, desk.listed()), begun)
        case "elsewhere fails" if name and desk.elsewhere[name][1] is not RefundState.FAILED:
            desk.made(name, desk.elsewhere[name][0], RefundState.FAILED)
        case "elsewhere succeeds" if name and desk.elsewhere[name][1] is RefundState.PENDING:
            desk.made(name, desk.elsewhere[name][0])


@pytest.mark.requirement("S-18", "R-1.12")
@settings(max_examples=300)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=3), st.lists(steps, min_size=10, max_size=30))
def test_what_went_back_in_the_end_is_what_was_owed(amounts: list[int], taken: list[tuple[str, int, int]]) -> None:
    desk = Desk(*amounts)
    for step in taken:
        one_step(desk, *step)
        assert asked_back(desk.order) + kept(desk.order) + desk.order.payment.refunded_minor == TOTAL
    for name, (amount, state) in desk.elsewhere.items():
        if state is RefundState.PENDING:
            desk.made(name, amount)
    for number in range(1, len(desk.order.progress.refunds) + 1):
        desk.retry(number)
        if desk.ours.get(desk.refund(number), (0, None))[1] is RefundState.ASKED:
            desk.told(number, RefundState.SUCCEEDED)
    assert desk.listed() == 0
    assert desk.order.payment.refunded_minor == sum(amounts)
    assert kept(desk.order) == TOTAL - sum(amounts)


@pytest.mark.requirement("S-18", "R-1.12")
@pytest.mark.parametrize("first", [1, 2])
def test_what_was_made_at_the_provider_stands_for_one_failed_refund_only(first: int) -> None:
    desk = Desk(100, 60)
    desk.told(1, RefundState.FAILED)
    desk.told(2, RefundState.FAILED)
    desk.made("re_d", 60)
    assert (desk.due(1), desk.due(2)) == (40, 60)
    for number in (first, 3 - first):
        assert desk.retry(number) == (40, 60)[number - 1]
        desk.told(number, RefundState.SUCCEEDED)
    assert (desk.order.payment.refunded_minor, kept(desk.order)) == (160, TOTAL - 160)


@pytest.mark.requirement("S-18", "R-1.12")
def test_what_is_under_way_at_the_provider_is_not_asked_for_until_it_comes_to_nothing() -> None:
    desk = Desk(100)
    desk.told(1, RefundState.FAILED)
    desk.made("re_d", 60, RefundState.PENDING)
    assert (desk.due(1), asked_back(desk.order)) == (40, 100)
    assert desk.retry(1) == 40
    assert asked_back(desk.order) == 100
    desk.told(1, RefundState.SUCCEEDED)
    desk.made("re_d", 60, RefundState.FAILED)
    assert (desk.due(2), kept(desk.order)) == (60, TOTAL - 100)
    assert desk.retry(2) == 60


@pytest.mark.requirement("S-18", "R-1.12")
def test_a_later_failure_does_not_forget_what_was_made_at_the_provider_since_the_first() -> None:
    desk = Desk(300)
    desk.told(1, RefundState.FAILED, 100)
    desk.made("re_d", 100)
    desk.told(1, RefundState.FAILED, 300)
    assert desk.due(1) == 200
    desk = Desk(100)
    desk.told(1, RefundState.FAILED)
    assert desk.retry(1) == 100
    desk.made("re_d", 100)
    desk.told(1, RefundState.FAILED)
    assert desk.due(1) == 0


@pytest.mark.requirement("S-18", "R-1.12")
def test_a_refund_begun_before_ours_failed_stands_for_nothing_however_it_ends() -> None:
    desk = Desk(100)
    desk.made("re_goodwill", 100, RefundState.PENDING)
    desk.told(1, RefundState.FAILED)
    desk.made("re_goodwill", 100)
    assert (desk.due(1), kept(desk.order)) == (100, TOTAL - 200)


@pytest.mark.requirement("S-18", "R-1.12")
def test_what_is_not_left_when_an_operator_tries_again_is_due_once_it_is_left() -> None:
    desk = Desk(100)
    desk.made("re_goodwill", TOTAL - 70, RefundState.PENDING)
    desk.told(1, RefundState.FAILED)
    assert desk.retry(1) == 70
    desk.told(1, RefundState.SUCCEEDED)
    assert (desk.listed(), kept(desk.order)) == (0, TOTAL - 100)
    desk.made("re_goodwill", TOTAL - 70, RefundState.FAILED)
    assert (desk.due(2), kept(desk.order)) == (30, TOTAL - 100)
    assert desk.retry(2) == 30


@pytest.mark.requirement("S-18")
def test_refunds_that_were_stored_without_what_is_remembered_now_count_by_their_newest_facts() -> None:
    desk = Desk(100)
    desk.told(1, RefundState.FAILED)
    desk.made("re_d", 60)
    record = json.loads(json.dumps(domain.to_record(desk.order)))
    for each in (*record["progress"]["refunds"], *record["progress"]["given_back"]):
        del each["since"], each["used_minor"]
    desk.order = domain.from_record(record)
    assert desk.due(1) == 40
    desk.told(1, RefundState.FAILED)
    assert desk.retry(1) == 40
