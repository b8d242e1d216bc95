"""What orders does about stock, fulfilment, parcels and returns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.orders import domain
from services.orders.domain import (
    CancellationReason,
    FulfillmentFailurePolicy,
    Money,
    Order,
    OrderState,
    Policies,
    Refusal,
    StockShortagePolicy,
    StockState,
    events,
    facts,
)
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import ALL, NOW, POLICIES, now_and, parcel, placed, units
from tests.unit.orders.test_domain_money import incidents, kinds, refunds

BACKORDER = Policies(stock_shortage=StockShortagePolicy.BACKORDER)
CANCEL = Policies(fulfillment_failure=FulfillmentFailurePolicy.CANCEL)
REST = units((1, 1), (2, 1))


def not_made(order: Order, lines: domain.Units = ()) -> facts.FulfillmentFailed:
    ids: dict[str, Any] = {"request_id": order.fulfillment_id, "round": order.round}
    return facts.FulfillmentFailed(version=4, occurred_at=NOW, lines=lines, **ids)


def withdrawn(cancelled: domain.Units) -> facts.FulfillmentCancelled:
    return facts.FulfillmentCancelled(version=6, occurred_at=NOW, cancellation_id="", cancelled=cancelled)


@pytest.mark.requirement("S-2", "S-7")
def test_a_hold_that_was_lost_before_the_money_came_cancels() -> None:
    lost = facts.StockUnavailable(version=2, occurred_at=NOW, request_id="", round=1)
    assert now_and(placed(), lost).order.cancellation.reason is CancellationReason.STOCK
    assert now_and(cases.confirmed(), lost).events == (), "the answer to the commit is still to come"


@pytest.mark.requirement("R-1.16", "S-20")
def test_a_shortage_cancels_or_waits_as_the_shop_wants() -> None:
    order = cases.confirmed()
    cancelled = now_and(order, cases.unavailable(order))
    assert cancelled.order.cancellation.reason is CancellationReason.STOCK
    assert incidents(cancelled) == {"stock_short"}
    waiting = now_and(order, cases.unavailable(order), policies=BACKORDER)
    deadline = NOW + timedelta(days=14)
    assert waiting.events == (events.OrderBackordered("7K3M92QXTF", deadline),)
    assert domain.due_at(waiting.order, BACKORDER) == deadline
    over = domain.tick(waiting.order, deadline, BACKORDER)
    assert over.order.cancellation.reason is CancellationReason.STOCK
    came = now_and(waiting.order, cases.committed(order), policies=BACKORDER)
    assert kinds(came) == ["OrderProcessing", "FulfillmentRequested"]


@pytest.mark.requirement("S-2", "S-25")
def test_only_an_answer_to_a_request_of_this_round_moves_the_stock() -> None:
    order = now_and(cases.expired(), cases.succeeded(version=90)).order
    late = facts.StockReleased(version=3, occurred_at=NOW, request_id="order:release:1", round=1, lines=ALL)
    after = now_and(order, late).order
    assert after.stock is StockState.NONE
    assert all(line.released == 0 for line in after.lines)


@pytest.mark.requirement("R-4.6", "S-21")
def test_each_parcel_is_told_once_and_asked_of_inventory_once() -> None:
    order = cases.processing()
    sent = parcel(order, facts.ShipmentSent, "one", units((1, 1)))
    result = now_and(order, sent, sent, parcel(order, facts.ShipmentSent, "two", REST))
    assert kinds(result) == ["OrderShipped", "StockShipRequested"] * 2
    assert [entry.to_state for entry in result.history] == [OrderState.SHIPPED]
    assert result.events[1] == events.StockShipRequested("order:ship:one", "one", units((1, 1)))


@pytest.mark.requirement("R-4.6")
def test_a_parcel_first_seen_when_it_arrived_counts_as_sent() -> None:
    order = cases.processing()
    result = now_and(order, parcel(order, facts.ShipmentDelivered, "all", ALL))
    assert kinds(result) == ["OrderShipped", "StockShipRequested", "OrderDelivered"]


@pytest.mark.requirement("S-25", "R-4.6")
def test_a_late_failure_of_a_parcel_never_overwrites_its_arrival() -> None:
    order = cases.delivered()
    lost = parcel(order, facts.ShipmentFailed, "two", REST)
    assert domain.apply_fact(order, lost).outcome is domain.Outcome.STALE


@pytest.mark.requirement("R-4.6")
def test_a_lost_parcel_ends_the_order_with_an_incident() -> None:
    order = cases.processing()
    result = now_and(
        order, parcel(order, facts.ShipmentSent, "all", ALL), parcel(order, facts.ShipmentFailed, "all", ALL)
    )
    assert result.order.state is OrderState.DELIVERED
    assert incidents(result) == {"parcel_lost"}


@pytest.mark.requirement("S-25")
def test_units_that_were_cancelled_must_not_leave() -> None:
    order = cases.cancelling()
    ended = now_and(order, cases.settled(order), cases.stopped(order, ALL)).order
    folded = domain.apply_fact(ended, parcel(order, facts.ShipmentSent, "one", ALL))
    assert folded.outcome is domain.Outcome.CONTRADICTION
    assert folded.incidents


@pytest.mark.requirement("R-4.7", "S-10")
def test_what_the_provider_will_not_make_waits_for_an_operator_or_is_cancelled() -> None:
    order = cases.processing()
    held = now_and(order, not_made(order))
    assert held.events == ()
    assert incidents(held) == {"fulfillment_failed"}
    assert [incident.subject for incident in held.incidents] == [""]  # the provider's words may name people
    assert kinds(now_and(held.order, cases.submitted(order))) == []
    stopped = now_and(order, not_made(order), policies=CANCEL)
    assert kinds(stopped) == ["PaymentCancellationRequested", "FulfillmentCancellationRequested"]


@pytest.mark.requirement("R-4.6", "S-10")
def test_units_that_the_provider_cancels_by_itself_are_given_back_once() -> None:
    order = cases.processing()
    result = now_and(order, withdrawn(units((1, 1))), withdrawn(units((1, 1))))
    assert kinds(result) == ["StockReleaseRequested", "RefundRequested", "OrderPartiallyCancelled"]
    assert incidents(result) == {"cancelled_by_provider"}
    more = now_and(result.order, withdrawn(units((1, 2))))
    assert more.events[-1] == events.OrderPartiallyCancelled("7K3M92QXTF", units((1, 1)), Money(94, "GBP"))


@pytest.mark.requirement("S-11", "R-4.6")
def test_the_rest_of_a_part_shipped_order_that_is_not_made_is_stopped_first() -> None:
    order = cases.shipped()
    assert now_and(order, not_made(order)).order.cancellation.reason is CancellationReason.STOCK
    gone = now_and(order, withdrawn(REST))
    assert gone.order.cancellation.reason is CancellationReason.STOCK


@pytest.mark.requirement("S-21", "R-4.8", "R-3.6")
def test_returned_goods_are_restocked_and_refunded_once() -> None:
    asked = domain.request_return(cases.delivered(), "return-1", units((1, 1)))
    assert isinstance(asked, domain.Advanced)
    assert asked.events == (events.ReturnRequested("return-1", units((1, 1))),)
    accepted = facts.ReturnAccepted(version=7, occurred_at=NOW, return_id="return-1")
    back = facts.ReturnReceived(version=8, occurred_at=NOW, return_id="return-1", lines=units((1, 1)))
    result = now_and(asked.order, accepted, back, back)
    assert kinds(result) == ["StockReturnRequested", "RefundRequested"]
    assert refunds(result) == [94]


@pytest.mark.requirement("S-21", "R-4.8")
def test_only_what_left_can_be_returned_and_only_once() -> None:
    order = cases.delivered()
    assert isinstance(domain.request_return(placed(), "return-1", units((1, 1))), Refusal)
    assert isinstance(domain.request_return(order, "return-1", units((1, 3))), Refusal)
    first = domain.request_return(order, "return-1", units((1, 2)))
    assert isinstance(first, domain.Advanced)
    assert isinstance(domain.request_return(first.order, "return-2", units((1, 1))), Refusal)
    refused = facts.ReturnRefused(version=7, occurred_at=NOW, return_id="return-1")
    after = now_and(first.order, refused).order
    assert isinstance(domain.request_return(after, "return-2", units((1, 1))), domain.Advanced)


@pytest.mark.requirement("R-2.3")
def test_by_age_an_ended_order_is_archived() -> None:
    aged = Policies(archive_after=timedelta(days=90))
    due = domain.due_at(cases.delivered(), aged)
    assert due == NOW + timedelta(days=90)
    assert domain.tick(cases.delivered(), due, aged).order.state is OrderState.ARCHIVED
    assert domain.due_at(cases.delivered(), POLICIES) is None


@pytest.mark.requirement("R-2.4")
def test_every_change_of_state_is_in_the_history_with_who_and_why() -> None:
    order = cases.cancelled_by(cases.confirmed(), CancellationReason.CUSTOMER).order
    entry = now_and(order, cases.settled(order)).history[0]
    assert entry == domain.HistoryEntry(OrderState.CONFIRMED, OrderState.CANCELLED, "customer", "cancelled: customer")
    assert domain.place(placed(), NOW, POLICIES).history[0].from_state is None


@pytest.mark.requirement("R-2.4")
@pytest.mark.parametrize("policies", [POLICIES, BACKORDER, CANCEL])
def test_no_rule_has_a_say_about_a_new_order_before_anybody_was_heard(policies: Policies) -> None:
    order = domain.place(placed(version=1), NOW, policies).order
    assert domain.tick(order, NOW, policies) == domain.Advanced(order)
    free = placed(version=1, total_minor=0, subtotal_minor=0, shipping_minor=0, adjustments_minor=0)
    went_on = domain.place(free, NOW, policies).order
    assert (went_on.state, went_on.version) == (OrderState.CONFIRMED, 1)
