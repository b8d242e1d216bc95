"""The order as a record, and names that must equal those of the protocol."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.orders.v1 import orders_events_pb2, orders_pb2

from services.orders import domain
from services.orders.domain import CancellationReason, Order, Policies, events
from tests.unit.orders import domain_cases as cases
from tests.unit.orders.domain_cases import LATER, NOW, POLICIES
from tests.unit.orders.test_domain_outcomes import EVENTS

STEPS = (*EVENTS, "tick", "customer cancels", "admin cancels", "returns")


def step(order: Order, name: str) -> Order:
    result: Any = None
    match name:
        case "tick":
            result = domain.tick(order, LATER, POLICIES)
        case "customer cancels":
            result = domain.cancel(order, CancellationReason.CUSTOMER, "customer", NOW, POLICIES)
        case "admin cancels":
            result = domain.cancel(order, CancellationReason.ADMIN, "admin", NOW, POLICIES)
        case "returns":
            result = domain.request_return(order, "return", cases.units((1, 1)))
        case _:
            _, result = domain.decide(order, EVENTS[name](order), NOW, POLICIES)
    return result.order if isinstance(result, domain.Advanced) else order


@pytest.mark.requirement("S-3", "R-2.3")
@given(st.sampled_from(sorted(cases.IN_STATE)), st.lists(st.sampled_from(STEPS), max_size=12))
def test_an_order_survives_its_record_and_every_way_is_legal(state: str, names: list[str]) -> None:
    order = cases.IN_STATE[state]()
    for name in names:
        after = step(order, name)
        assert after.version in (order.version, order.version + 1)
        assert (after == order) == (after.version == order.version)
        assert all(line.open >= 0 and 0 <= line.returned <= line.shipped for line in after.lines)
        assert domain.advance(after, NOW, POLICIES).order == after or after == step(after, "tick")
        order = after
    assert domain.from_record(json.loads(json.dumps(domain.to_record(order)))) == order


def test_a_record_may_lack_new_fields_and_hold_times_as_they_are() -> None:
    record = domain.to_record(cases.placed())
    del record["progress"], record["cancellation"], record["stock"]
    assert domain.from_record(record) == cases.placed()
    assert domain.from_record({**record, "payable_until": LATER}) == replace(cases.placed(), payable_until=LATER)


@pytest.mark.requirement("R-2.3", "S-31")
@pytest.mark.parametrize(
    "ours, theirs, prefix",
    [
        (domain.OrderState, orders_pb2.OrderState, "ORDER_STATE_"),
        (domain.PaymentVerdict, orders_pb2.PaymentVerdict, "PAYMENT_VERDICT_"),
        (domain.CancellationState, orders_pb2.CancellationState, "CANCELLATION_STATE_"),
        (domain.CancellationReason, orders_pb2.CancellationReason, "CANCELLATION_REASON_"),
    ],
)
def test_enums_equal_those_of_the_protocol(ours: Any, theirs: Any, prefix: str) -> None:
    assert {prefix + member.value for member in ours} | {f"{prefix}UNSPECIFIED"} == set(theirs.keys())


@pytest.mark.requirement("R-2.3")
def test_the_table_of_transitions_names_every_state_and_leaves_the_last_one_alone() -> None:
    reached = {to for _, to in domain.TRANSITIONS}
    assert reached == set(domain.OrderState)
    assert domain.OrderState.ARCHIVED not in {before for before, _ in domain.TRANSITIONS}
    assert all(before is not to for before, to in domain.TRANSITIONS)


@pytest.mark.requirement("R-2.3")
def test_a_pair_that_is_not_in_the_table_is_refused() -> None:
    from services.orders.domain.decision import move

    with pytest.raises(domain.IllegalTransition):
        move(cases.placed(), domain.OrderState.SHIPPED, "nobody", "no reason")


def test_events_equal_the_messages_of_the_protocol() -> None:
    messages = orders_events_pb2.DESCRIPTOR.message_types_by_name
    ours = {name: value for name, value in vars(events).items() if hasattr(value, "__dataclass_fields__")}
    ours = {name: value for name, value in ours.items() if value.__module__ == events.__name__}
    assert set(ours) == set(messages)
    for name, message in messages.items():
        assert {field.name for field in fields(ours[name])} == set(message.fields_by_name) - {"context"}, name


def test_policies_have_the_defaults_of_the_requirements() -> None:
    assert Policies().payable_for.total_seconds() == 30 * 60
    assert Policies().cancellation_alarm.total_seconds() == 24 * 3600
