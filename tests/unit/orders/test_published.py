"""Every event of the domain is told by the message of its name, with all of its fields."""

import typing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any

import pytest
from onefold.orders.v1 import orders_events_pb2, orders_pb2

from services.orders.domain import CancellationReason, LineQuantity, Money, events
from services.orders.published import message_of

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
VALUES: dict[Any, Any] = {
    str: "text",
    int: 7,
    Money: Money(1_050, "GBP"),
    datetime: NOW + timedelta(minutes=30),
    CancellationReason: CancellationReason.STOCK,
    tuple[LineQuantity, ...]: (LineQuantity(1, "MUG", 2), LineQuantity(2, "HAT", 1)),
}
KINDS = typing.get_args(events.OrderEvent)


@pytest.mark.requirement("S-2", "R-5.3")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_told_whole(kind: type[Any]) -> None:
    hints = typing.get_type_hints(kind)
    event = kind(**{field.name: VALUES[hints[field.name]] for field in fields(kind)})
    message: Any = message_of(event, "order", 5, NOW, "cause")

    context = message.context
    assert (context.order_id, context.version, context.caused_by) == ("order", 5, "cause")
    assert context.occurred_at.ToDatetime(UTC) == NOW
    assert {field.name for field, _ in message.ListFields()} == {"context", *hints}
    assert {field.name for field in message.DESCRIPTOR.fields} == {"context", *hints}
    for name in hints:
        assert _plain(getattr(message, name), getattr(event, name))


def _plain(told: Any, meant: Any) -> bool:
    match meant:
        case Money():
            return bool((told.amount_minor, told.currency) == (meant.amount_minor, meant.currency))
        case datetime():
            return bool(told.ToDatetime(UTC) == meant)
        case tuple():
            return [(units.line, units.sku, units.quantity) for units in told] == [
                (units.line, units.sku, units.quantity) for units in meant
            ]
        case CancellationReason():
            return bool(orders_pb2.CancellationReason.Name(told) == f"CANCELLATION_REASON_{meant.value}")
        case _:
            return bool(told == meant)


@pytest.mark.requirement("S-2", "R-5.3")
def test_every_message_has_its_event() -> None:
    assert isinstance(events.OrderEvent, UnionType)
    assert {kind.__name__ for kind in KINDS} == set(orders_events_pb2.DESCRIPTOR.message_types_by_name)
