"""What payments publishes: decisions and incidents as protobuf events.

Why: calls, events, webhooks and jobs lead to the same decisions, and none of them should know how a fact is told.
"""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.payments.v1 import payments_events_pb2 as events_pb2
from onefold.payments.v1 import payments_pb2

from services.chassis import outbox
from services.chassis.incidents import Incident
from services.chassis.messages import timestamp
from services.payments import domain

CANCELLATION_OUTCOMES = events_pb2.CancellationOutcome.DESCRIPTOR.values_by_name


def facts_of(decision: domain.Decision, caused_by: str, at: datetime, now: datetime) -> Iterator[outbox.OutgoingEvent]:
    """The events of one decision, each with the snapshot and a version of its own."""
    if not decision.events:
        return
    order_id = decision.payable.order_id
    first = decision.payable.version - len(decision.events) + 1
    snapshot = snapshot_message(decision.snapshot)
    context = common_pb2.EventContext(order_id=order_id, occurred_at=timestamp(at), caused_by=caused_by)
    for number, event in enumerate(decision.events):
        context.version = first + number
        kind, names = _message_type(type(event).__name__)
        values = {name: _value(name, getattr(event, name)) for name in names}
        yield outbox.outgoing(kind(context=context, snapshot=snapshot, **values), key=order_id, now=now)


def incident_raised(incident: Incident, version: int, caused_by: str, now: datetime) -> outbox.OutgoingEvent:
    """An incident that a person must see; its key is its own id where the order is not known."""
    message = events_pb2.IncidentRaised(
        context=common_pb2.EventContext(
            order_id=incident.order_id, version=version, occurred_at=timestamp(now), caused_by=caused_by
        ),
        incident_id=incident.id,
        kind=incident.kind,
        subject=incident.subject,
    )
    return outbox.outgoing(message, key=incident.order_id or incident.id, now=now)


def incident_resolved(incident: Incident, order_id: str, resolution: str, now: datetime) -> outbox.OutgoingEvent:
    """An incident that is none any more."""
    message = events_pb2.IncidentResolved(
        context=common_pb2.EventContext(order_id=order_id, occurred_at=timestamp(now)),
        incident_id=incident.id,
        resolution=resolution,
        resolved_at=timestamp(now),
    )
    return outbox.outgoing(message, key=incident.order_id or incident.id, now=now)


def snapshot_message(snapshot: domain.Snapshot) -> payments_pb2.PayableSnapshot:
    """Verdict and amounts."""
    return payments_pb2.PayableSnapshot(
        verdict=_number(payments_pb2.Verdict, "VERDICT", snapshot.verdict),
        authorized_minor=snapshot.authorized_minor,
        captured_minor=snapshot.captured_minor,
        refunded_minor=snapshot.refunded_minor,
        due_minor=snapshot.due_minor,
        currency=snapshot.currency,
        currency_differs=snapshot.currency_differs,
        dispute=_number(payments_pb2.DisputeState, "DISPUTE_STATE", snapshot.dispute),
        refund_pending_minor=snapshot.refund_pending_minor,
    )


def payment_message(payable: domain.Payable, provider: str) -> payments_pb2.Payment:
    """The payable with its attempts, newest first, and its ledger, oldest first."""
    return payments_pb2.Payment(
        order_id=payable.order_id,
        snapshot=snapshot_message(domain.snapshot(payable)),
        version=payable.version,
        closed=payable.closed,
        attempts=[attempt_message(payable, attempt, provider) for attempt in reversed(payable.attempts)],
        ledger=[
            payments_pb2.LedgerEntry(
                position=position,
                fact=fact.entry,
                object_id=fact.object_id,
                amount=money_message(fact.money),
                occurred_at=timestamp(fact.occurred_at),
            )
            for position, fact in enumerate(payable.ledger, start=1)
        ],
    )


def attempt_message(payable: domain.Payable, attempt: domain.Attempt, provider: str) -> payments_pb2.Attempt:
    """One attempt; what it received comes from the ledger."""
    captured = next((f for f in payable.facts(domain.Entry.CAPTURED) if attempt.names(f.object_id)), None)
    return payments_pb2.Attempt(
        attempt_id=attempt.id,
        number=attempt.number,
        provider=provider,
        provider_object_id=attempt.object_id,
        provider_payment_id=attempt.payment_id,
        state=_number(payments_pb2.AttemptState, "ATTEMPT_STATE", attempt.state),
        flow=_number(payments_pb2.Flow, "FLOW", attempt.flow),
        charge_id=attempt.charge_id,
        method=attempt.method,
        received=money_message(captured.money) if captured else None,
        paid_at=timestamp(captured.occurred_at) if captured else None,
        failures=attempt.failures,
        failure_code=attempt.failure.code if attempt.failure else "",
        failure_message=attempt.failure.message if attempt.failure else "",
        created_at=timestamp(attempt.created_at),
    )


def money_message(money: domain.Money) -> common_pb2.Money:
    """An amount."""
    return common_pb2.Money(amount_minor=money.amount_minor, currency=money.currency)


@cache
def _message_type(name: str) -> tuple[type[Message], tuple[str, ...]]:
    """The message of the same name, and the fields that the event brings."""
    message: type[Message] = getattr(events_pb2, name)
    return message, tuple(field.name for field in fields(getattr(domain.events, name)))


def _value(name: str, value: Any) -> Any:
    if type(value) is str and name != "outcome":  # most are ids
        return value
    if isinstance(value, domain.Money):
        return money_message(value)
    if isinstance(value, domain.DisputeState):
        return _number(payments_pb2.DisputeState, "DISPUTE_STATE", value)
    if name == "outcome":
        return CANCELLATION_OUTCOMES[f"CANCELLATION_OUTCOME_{value}"].number
    return value


def _number(enum: Any, prefix: str, value: str) -> Any:
    return enum.Value(f"{prefix}_{value}")
