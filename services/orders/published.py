"""What orders says, as protobuf.

Why: class and field names of the domain's events equal those of the messages, so one function translates all of them,
and a test walks through every event.
"""

from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final

from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2, orders_pb2

from services.chassis.messages import line_quantities, timestamp
from services.orders.domain import CancellationReason, Money
from services.orders.domain.events import OrderEvent

_ENUMS: Final = {CancellationReason: ("CANCELLATION_REASON", orders_pb2.CancellationReason)}


def message_of(event: OrderEvent, order_id: str, version: int, now: datetime, caused_by: str) -> Message:
    """The message that says `event`, with its context: order, version, time and cause."""
    message: Any = getattr(orders_events_pb2, type(event).__name__)()
    context: common_pb2.EventContext = message.context  # filled in place: a copied message costs more than its fields
    context.order_id, context.version, context.caused_by = order_id, version, caused_by
    context.occurred_at.CopyFrom(timestamp(now))
    kind: Any = type(event)
    for name in _names(kind):
        _set(message, name, getattr(event, name))
    told: Message = message
    return told


def enum_value(value: Enum) -> int:
    """The number of an enum's value, by its name behind the prefix."""
    prefix, enum = _ENUMS[type(value)]  # type: ignore[index]
    return int(enum.Value(f"{prefix}_{value.value}"))


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _set(message: Message, name: str, value: Any) -> None:
    match value:
        case Money():
            amount: common_pb2.Money = getattr(message, name)
            amount.amount_minor, amount.currency = value.amount_minor, value.currency
        case datetime():
            getattr(message, name).CopyFrom(timestamp(value))
        case tuple():
            getattr(message, name).extend(line_quantities(value))
        case Enum():
            setattr(message, name, enum_value(value))
        case _:
            setattr(message, name, value)
