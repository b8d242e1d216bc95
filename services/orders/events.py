"""The door for events: what payments, inventory and fulfillment say becomes facts of the domain, in offset order.

Why: orders is the hub, it alone consumes their topics (S-1). Class and field names of the facts equal those of the
messages; what only fills columns to show (objects at the provider, locations) travels beside the fact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any, Final

from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.inventory.v1 import inventory_events_pb2
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from services.chassis.clock import Clock
from services.chassis.db import Transaction
from services.chassis.inbox import IncomingEvent, Outcome, decode
from services.chassis.messages import moment_of
from services.orders.domain import (
    CancellationOutcome,
    DisputeState,
    LineQuantity,
    Money,
    PaymentVerdict,
    Policies,
    facts,
)
from services.orders.usecases.facts import CONSUMER, IncomingFact, apply_facts

__all__ = ["CONSUMER", "KINDS", "TOPICS", "EventsDoor", "fact_of"]

TOPICS: Final = ("onefold.payments.v1", "onefold.inventory.v1", "onefold.fulfillment.v1")


class EventsDoor:
    """The handler of the consumer."""

    def __init__(self, clock: Clock, policies: Policies) -> None:
        self._clock = clock
        self._policies = policies

    async def __call__(self, tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        """Apply fresh events; an outcome for each id."""
        outcomes = {event.id: Outcome.IGNORED for event in events}
        told = [fact for event in events if (fact := fact_of(event)) is not None]
        outcomes.update(await apply_facts(tx, told, self._clock.now(), self._policies))
        return outcomes


def fact_of(event: IncomingEvent) -> IncomingFact | None:
    """The fact that an event tells; None for what moves no order. Raises Undecodable."""
    kind = KINDS.get(event.type)
    if kind is None:
        return None
    message: Any = decode(event)
    context = message.context
    values = {name: _value(message, name) for name in _names(kind) if name not in ("version", "occurred_at")}
    fact = kind(version=context.version, occurred_at=moment_of(context.occurred_at), **values)
    return IncomingFact(
        event_id=event.id,
        order_id=context.order_id,
        fact=fact,
        object_id=message.provider_object_id if "provider_object_id" in message.DESCRIPTOR.fields_by_name else "",
        locations={location.line: location.location for location in getattr(message, "locations", ())},
    )


_MODULES: Final = (payments_events_pb2, inventory_events_pb2, fulfillment_events_pb2)


def _kinds() -> dict[str, type[facts.Fact]]:
    kinds: dict[str, type[facts.Fact]] = {}
    for module in _MODULES:
        for name, descriptor in module.DESCRIPTOR.message_types_by_name.items():
            kind = getattr(facts, name, None)
            if kind is not None:
                kinds[descriptor.full_name] = kind
    return kinds


KINDS: Final[Mapping[str, type[facts.Fact]]] = _kinds()
"""Facts by their event's type; every other type is ignored (S-1)."""


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _value(message: Any, name: str) -> Any:
    value = getattr(message, name)
    descriptor = message.DESCRIPTOR.fields_by_name[name]
    if name == "snapshot":
        return _snapshot(value)
    if descriptor.enum_type is not None:
        return _enum(_ENUMS[descriptor.enum_type.name], descriptor.enum_type, value)
    if descriptor.message_type is None:
        return value
    if descriptor.message_type.name == "Money":
        return Money(value.amount_minor, value.currency)
    return tuple(LineQuantity(units.line, units.sku, units.quantity) for units in value)


def _snapshot(said: payments_pb2.PayableSnapshot) -> facts.Snapshot:
    enums = payments_pb2.DESCRIPTOR.enum_types_by_name
    return facts.Snapshot(
        verdict=_enum(PaymentVerdict, enums["Verdict"], said.verdict),
        authorized_minor=said.authorized_minor,
        captured_minor=said.captured_minor,
        refunded_minor=said.refunded_minor,
        due_minor=said.due_minor,
        currency=said.currency,
        currency_differs=said.currency_differs,
        # Payments leaves it unset before the first dispute.
        dispute=_enum(DisputeState, enums["DisputeState"], said.dispute) if said.dispute else DisputeState.NONE,
        refund_pending_minor=said.refund_pending_minor,
    )


_ENUMS: Final[Mapping[str, type[Enum]]] = {"CancellationOutcome": CancellationOutcome, "DisputeState": DisputeState}
_PREFIXES: Final = {
    "Verdict": "VERDICT_",
    "DisputeState": "DISPUTE_STATE_",
    "CancellationOutcome": "CANCELLATION_OUTCOME_",
}


def _enum(kind: type[Any], descriptor: Any, number: int) -> Any:
    """A value by its name behind the prefix; an unknown number raises and parks the key, for it may be money."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        raise ValueError(f"unknown {descriptor.name} {number}")
    return kind(value.name.removeprefix(_PREFIXES[descriptor.name]))
