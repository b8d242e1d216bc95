"""What fulfillment publishes: decisions as protobuf events.

Why: calls, events, answers and jobs lead to the same decisions, and none of them should know how a fact is told.
"""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_events_pb2 as events_pb2

from services.chassis import outbox
from services.chassis.messages import line_quantities, timestamp
from services.fulfillment import domain


def facts_of(decision: domain.Decision, caused_by: str, provider: str, now: datetime) -> Iterator[outbox.OutgoingEvent]:
    """The events of one decision, each with a version of its own."""
    order_id = decision.fulfillment.order_id
    first = decision.fulfillment.version - len(decision.events) + 1
    for number, event in enumerate(decision.events):
        context = common_pb2.EventContext(
            order_id=order_id, version=first + number, occurred_at=timestamp(now), caused_by=caused_by
        )
        kind = getattr(events_pb2, type(event).__name__)  # the domain's names are the messages' names
        values = {field.name: _value(getattr(event, field.name)) for field in fields(event)}
        if isinstance(event, domain.FulfillmentSubmitted):
            values["provider"] = provider
        yield outbox.outgoing(kind(context=context, **values), key=order_id, now=now)


def _value(value: Any) -> Any:
    return line_quantities(value) if isinstance(value, tuple) else value
