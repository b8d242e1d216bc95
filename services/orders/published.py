"""What orders says, as protobuf.

Why: class and field names of the domain's events equal those of the messages, so one function translates all of them,
and a test walks through every event.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, Final

from google.protobuf.message import Message
from onefold.orders.v1 import orders_events_pb2

from services.chassis.messages import context_of, line_quantities, timestamp
from services.orders.domain import CancellationReason, Money
from services.orders.domain.events import OrderEvent


def message_of(event: OrderEvent, order_id: str, version: int, now: datetime, caused_by: str) -> Message:
    """The message that says `event`, with its context: order, version, time and cause."""
    kind: Any = type(event)
    told: Message = getattr(orders_events_pb2, kind.__name__)(
        context=context_of(order_id, version, now, caused_by),
        **{name: _field(getattr(event, name)) for name in _names(kind)},
    )
    return told


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _field(value: Any) -> Any:
    kind: Any = type(value)
    translate = _FIELDS.get(kind)
    return value if translate is None else translate(value)


_FIELDS: Final[Mapping[type[Any], Callable[[Any], Any]]] = {
    Money: lambda money: {"amount_minor": money.amount_minor, "currency": money.currency},
    datetime: timestamp,
    tuple: line_quantities,
    CancellationReason: lambda reason: f"CANCELLATION_REASON_{reason}",
}
