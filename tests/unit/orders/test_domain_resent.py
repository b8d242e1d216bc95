"""What a parcel did not bring is sent again: it counts once, in goods, stock and money."""

from __future__ import annotations

from typing import Any

import pytest

from services.orders import domain
from services.orders.domain import Order, OrderState, Outcome, Units, events, facts
from services.orders.domain.units import with_customer
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import ALL, NOW, now_and, parcel, units
from tests.unit.orders.test_domain_money import incidents, kinds

ENDS = [facts.ShipmentFailed, facts.ShipmentReturned]


def again(order: Order, shipment: str, lines: Units, resent: Units = ()) -> Any:
    ids: dict[str, Any] = {"request_id": order.fulfillment_id, "round": order.round}
    return facts.ShipmentSent(
        version=4, occurred_at=NOW, shipment_id=shipment, lines=lines, resent=resent or lines, **ids
    )


def sent(order: Order, shipment: str, lines: Units) -> Any:
    return parcel(order, facts.ShipmentSent, shipment, lines)


@pytest.mark.requirement("S-21", "S-19", "R-4.6")
@pytest.mark.parametrize("end", ENDS)
def test_a_parcel_that_is_sent_again_is_told_and_the_stock_moved_before(end: type[facts.ParcelFact]) -> None:
    order = cases.processing()
    lost = now_and(order, sent(order, "one", ALL), parcel(order, end, "one", ALL)).order
    result = now_and(lost, again(order, "two", ALL), parcel(order, facts.ShipmentDelivered, "two", ALL))
    assert kinds(result) == ["OrderShipped"]
    assert not result.incidents
    assert result.order.state is OrderState.DELIVERED
    assert [line.shipped for line in result.order.lines] == [2, 1]
    assert [each.state for each in result.order.progress.parcels][1] is domain.ParcelState.DELIVERED
    assert with_customer(result.order) == ALL


@pytest.mark.requirement("S-21", "R-4.6")
def test_units_that_are_sent_again_leave_the_others_open() -> None:
    order, one = cases.processing(), units((1, 1))
    lost = now_and(order, sent(order, "one", one), parcel(order, facts.ShipmentFailed, "one", one)).order
    resent = now_and(lost, again(order, "two", one), parcel(order, facts.ShipmentDelivered, "two", one)).order
    assert (resent.state, resent.open_units) == (OrderState.SHIPPED, units((1, 1), (2, 1)))
    rest = now_and(resent, sent(order, "three", resent.open_units))
    assert kinds(rest) == ["OrderShipped", "StockShipRequested"]
    arrived = now_and(rest.order, parcel(order, facts.ShipmentDelivered, "three", resent.open_units))
    assert kinds(arrived) == ["OrderDelivered"]


@pytest.mark.requirement("S-21", "S-19", "R-4.6")
def test_a_parcel_may_bring_units_that_are_sent_again_and_others() -> None:
    order, one = cases.processing(), units((1, 1))
    lost = now_and(order, sent(order, "one", one), parcel(order, facts.ShipmentFailed, "one", one)).order
    result = now_and(lost, again(order, "two", ALL, one))
    assert result.events[1] == events.StockShipRequested("order:ship:two", "two", units((1, 1), (2, 1)))
    assert not result.order.open_units
    arrived = now_and(result.order, parcel(order, facts.ShipmentDelivered, "two", ALL))
    assert kinds(arrived) == ["OrderDelivered"]


@pytest.mark.requirement("S-21", "R-4.6")
@pytest.mark.parametrize(("first", "last"), [("one", "two"), ("two", "one")])
def test_an_order_waits_for_what_is_sent_again_and_for_what_it_replaces(first: str, last: str) -> None:
    order = cases.processing()
    twice = now_and(order, sent(order, "one", ALL), again(order, "two", ALL))
    assert kinds(twice) == ["OrderShipped", "StockShipRequested", "OrderShipped"]
    one = now_and(twice.order, parcel(order, facts.ShipmentFailed, first, ALL))
    assert (one.order.state, incidents(one)) == (OrderState.SHIPPED, {"parcel_lost"})
    assert kinds(now_and(one.order, parcel(order, facts.ShipmentDelivered, last, ALL))) == ["OrderDelivered"]


@pytest.mark.requirement("S-21", "S-25")
def test_what_never_left_or_was_given_back_is_not_sent_again() -> None:
    order = cases.delivered()
    asked = domain.request_return(order, "return-1", ALL)
    assert isinstance(asked, domain.Advanced)
    back = facts.ReturnReceived(version=8, occurred_at=NOW, return_id="return-1", lines=ALL)
    never = (cases.processing(), now_and(asked.order, back).order, cases.refunded(), cases.archived())
    for each in never:
        folded = domain.apply_fact(each, again(each, "three", ALL))
        assert (folded.outcome, folded.order) == (Outcome.CONTRADICTION, each)
        assert folded.incidents
