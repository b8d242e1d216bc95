"""Every event of a partner is a fact of its name with all of its fields, or is ignored by name."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.inventory.v1 import inventory_events_pb2
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from services.chassis.inbox import Undecodable
from services.chassis.testing import incoming
from services.orders.domain import (
    CancellationOutcome,
    DisputeState,
    LineQuantity,
    Money,
    PaymentVerdict,
    facts,
)
from services.orders.events import KINDS, fact_of

MODULES = (payments_events_pb2, inventory_events_pb2, fulfillment_events_pb2)
MESSAGES = [
    d for module in MODULES for d in module.DESCRIPTOR.message_types_by_name.values() if d.name != "LevelContext"
]
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.requirement("S-1", "S-31", "S-25")
def test_what_is_no_fact_is_ignored_by_name() -> None:
    names = {message.full_name: message.name for message in MESSAGES}
    assert {name for full, name in names.items() if full not in KINDS} == facts.IGNORED_EVENTS
    ignored = inventory_events_pb2.StockReserved()
    assert fact_of(incoming(ignored)) is None


@pytest.mark.requirement("S-1", "S-31")
@pytest.mark.parametrize("descriptor", [d for d in MESSAGES if d.full_name in KINDS], ids=lambda d: d.name)
def test_an_event_becomes_its_fact(descriptor: Any) -> None:
    message: Any = GetMessageClass(descriptor)()
    _fill(message)
    told = fact_of(incoming(message))
    assert told is not None and type(told.fact).__name__ == descriptor.name
    assert (told.order_id, told.fact.version, told.fact.occurred_at) == ("text", 7, AT)
    for name in type(told.fact).__dataclass_fields__:
        assert getattr(told.fact, name) == _EXPECTED.get(name, _by_kind(getattr(told.fact, name))), name
    assert told.object_id == ("text" if "provider_object_id" in descriptor.fields_by_name else "")
    assert told.locations == ({7: "text"} if "locations" in descriptor.fields_by_name else {})


@pytest.mark.requirement("S-26")
def test_a_payload_of_another_type_is_undecodable() -> None:
    event = incoming(payments_events_pb2.PaymentCreated())
    broken = event._replace(payload=b"\xff\xff")
    with pytest.raises(Undecodable):
        fact_of(broken)


_SNAPSHOT = facts.Snapshot(
    verdict=PaymentVerdict.UNPAID,
    authorized_minor=7,
    captured_minor=7,
    refunded_minor=7,
    due_minor=7,
    currency="text",
    currency_differs=True,
    dispute=DisputeState.NONE,
    refund_pending_minor=7,
)
_EXPECTED: dict[str, Any] = {"version": 7, "occurred_at": AT, "snapshot": _SNAPSHOT}


def _by_kind(value: Any) -> Any:
    match value:
        case Money():
            return Money(7, "text")
        case tuple():
            return (LineQuantity(7, "text", 7),)
        case CancellationOutcome():
            return CancellationOutcome.NOTHING_TAKEN
        case DisputeState():
            return DisputeState.NONE
        case int():
            return 7
        case _:
            return "text"


def _fill(message: Any) -> None:
    """Every field set: text, 7, True, the first named value of an enum, one element of a list."""
    for field in message.DESCRIPTOR.fields:
        if field.name == "occurred_at":
            message.occurred_at.FromDatetime(AT)
        elif field.message_type is not None:
            _fill(getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name))
        elif field.enum_type is not None:
            setattr(message, field.name, 1)
        else:
            setattr(message, field.name, {field.TYPE_STRING: "text", field.TYPE_BOOL: True}.get(field.type, 7))


def test_a_dispute_that_was_never_opened_is_none() -> None:
    message = payments_events_pb2.PaymentCreated()
    message.snapshot.verdict = payments_pb2.VERDICT_UNPAID
    told = fact_of(incoming(message))
    assert told is not None and isinstance(told.fact, facts.PaymentCreated)
    assert told.fact.snapshot.dispute is DisputeState.NONE
