"""From inputs to stored decisions: the one way in which a payable changes, for calls, events, webhooks and jobs.

Why: roots are locked in one order, inputs of one order are folded in the order given, and state, ledger, operations,
incidents and events of a whole batch are written together (R-1.17).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.chassis import operations, outbox
from services.chassis.clock import Clock
from services.chassis.db import Transaction
from services.chassis.ids import new_id
from services.chassis.incidents import Incident, open_incidents
from services.chassis.telemetry import current_traceparent, traced
from services.payments import domain, published
from services.payments.providers.base import Checkout, Provider
from services.payments.store import payables


@dataclass(frozen=True, slots=True)
class Step:
    """One input for one order. `checkout` is what a create needs beside the money."""

    order_id: str
    cause: domain.Input
    caused_by: str = ""
    checkout: Checkout | None = None
    traceparent: str = field(default_factory=current_traceparent)
    asked: datetime | None = None  # the payable's `look_at` when the provider was asked: that question is answered


@dataclass(frozen=True, slots=True)
class Context:
    """What every use case needs."""

    provider: Provider
    clock: Clock
    rules: domain.Rules


@dataclass(slots=True)
class _Written:
    """What a batch will write, gathered in the order of its steps."""

    after: dict[str, domain.Payable]
    causes: dict[str, list[str]] = field(default_factory=dict)
    events: list[outbox.OutgoingEvent] = field(default_factory=list)
    planned: list[operations.PlannedOperation] = field(default_factory=list)
    found: list[tuple[Incident, outbox.OutgoingEvent]] = field(default_factory=list)


async def apply(
    tx: Transaction, context: Context, steps: Sequence[Step], *, create: bool
) -> list[domain.Decision | None]:
    """Decide every step and store what follows; None for an order without a payable, unless `create`.

    Locks the roots, so claims come before it (S-4).
    """
    order_ids = {step.order_id for step in steps}
    if create:
        await payables.create(tx, order_ids)
    before = await payables.lock(tx, order_ids)
    return await decide(tx, context, steps, before)


async def decide(
    tx: Transaction, context: Context, steps: Sequence[Step], before: dict[str, domain.Payable]
) -> list[domain.Decision | None]:
    """Like `apply`, for payables that are locked already."""
    now = context.clock.now()
    written = _Written(dict(before))
    rules = replace(context.rules, unit_of=context.provider.unit_of)
    decisions = []
    for step in steps:
        with traced(step.traceparent):
            decisions.append(_decide(context, rules, step, written, now))
    changes = [
        payables.Change(payable, written.after[order_id], written.causes.get(order_id, ()))
        for order_id, payable in before.items()
    ]
    await payables.save(tx, changes, context.provider.name)
    waits = any(each.kind != domain.Kind.CREATE for each in written.planned)  # a create's caller sees it through
    await operations.plan(tx, written.planned, wakes=waits)
    opened = {i.id for i in await open_incidents(tx, [incident for incident, _ in written.found])}
    raised = [event for incident, event in written.found if incident.id in opened]
    await outbox.append(tx, [*written.events, *raised])
    return decisions


def _decide(
    context: Context, rules: domain.Rules, step: Step, written: _Written, now: datetime
) -> domain.Decision | None:
    payable = written.after.get(step.order_id)
    if payable is None:
        return None
    if step.asked is not None:
        payable = domain.asked(payable, step.asked)
    cause = _identified(payable, step.cause)
    booked = len(payable.ledger)
    decision = domain.decide(payable, cause, now, rules)
    written.after[step.order_id] = decision.payable
    new_facts = len(decision.payable.ledger) - booked
    written.causes.setdefault(step.order_id, []).extend([step.caused_by] * new_facts)
    at = getattr(step.cause, "occurred_at", now)
    written.events.extend(published.facts_of(decision, step.caused_by, at, now))
    written.planned.extend(_planned(context, decision, step, plan, now) for plan in decision.operations)
    for seen in decision.incidents:
        incident = Incident(seen.kind, seen.subject, now, step.order_id, dict(seen.details))
        raised = published.incident_raised(incident, decision.payable.version, step.caused_by, now)
        written.found.append((incident, raised))
    return decision


def _identified(payable: domain.Payable, cause: domain.Input) -> domain.Input:
    """With an id for the attempt, where an object is shown that perhaps nobody knows: by itself or by an answer."""
    seen = cause.seen if isinstance(cause, domain.OperationEnded) else cause
    if not isinstance(seen, domain.AttemptSeen) or any(a.names(seen.object_id) for a in payable.attempts):
        return cause
    seen = replace(seen, new_id=new_id())
    return replace(cause, seen=seen) if isinstance(cause, domain.OperationEnded) else seen


def _planned(
    context: Context, decision: domain.Decision, step: Step, plan: domain.OperationPlan, now: datetime
) -> operations.PlannedOperation:
    checkout = step.checkout or Checkout(step.order_id)
    parameters = context.provider.parameters(plan, checkout, now)
    return operations.PlannedOperation(
        kind=plan.kind,
        subject=decision.payable.order_id,
        number=plan.number,
        provider=context.provider.name,
        request=operations.encode_parameters({**parameters, "target": plan.target_id, "checkout": checkout.stored()}),
        planned_at=now,
    )
