"""From causes to stored decisions: the one way in which a fulfilment changes, for calls, events, answers and jobs.

Why: roots are locked in one order, causes of one order are folded in the order given, and state, calls, incidents and
events of a whole batch are written together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.chassis import incidents, jobs, operations, outbox
from services.chassis.clock import Clock
from services.chassis.consumer import parked_keys
from services.chassis.db import Transaction
from services.chassis.telemetry import current_traceparent, traced
from services.fulfillment import domain, published
from services.fulfillment.providers.base import Provider
from services.fulfillment.store import fulfillments

CONSUMER: Final = "fulfillment"
QUEUED: Final = "fulfillments"  # what the job that prepares orders is woken by


@dataclass(frozen=True, slots=True)
class Context:
    """What every use case needs. `watch_every`: how long an object goes unseen at least before it is fetched."""

    provider: Provider
    clock: Clock
    rules: domain.Rules
    watch_every: timedelta


@dataclass(frozen=True, slots=True)
class Step:
    """One cause for one order. `create`: the provider's parameters, where the cause lets an object be made."""

    order_id: str
    cause: domain.Input
    caused_by: str = ""
    create: Mapping[str, Any] | None = None
    traceparent: str = field(default_factory=current_traceparent)


@dataclass(slots=True)
class _Written:
    """What a batch will write, gathered in the order of its steps."""

    after: dict[str, domain.Fulfillment]
    parked: set[str]  # orders whose events wait parked
    events: list[outbox.OutgoingEvent] = field(default_factory=list)
    planned: list[operations.PlannedOperation] = field(default_factory=list)
    found: list[incidents.Incident] = field(default_factory=list)


async def apply(
    tx: Transaction, context: Context, steps: Sequence[Step], *, create: bool = False
) -> list[domain.Decision | None]:
    """Decide every step and store what follows; None for an order that has no root, unless `create`.

    Locks the roots, so claims come before it (S-4).
    """
    before = await fulfillments.lock(tx, {step.order_id for step in steps}, create=create)
    return await decide(tx, context, steps, before)


async def decide(
    tx: Transaction, context: Context, steps: Sequence[Step], before: dict[str, domain.Fulfillment]
) -> list[domain.Decision | None]:
    """Like `apply`, for roots that are locked already."""
    now = context.clock.now()
    written = _Written(dict(before), await parked_keys(tx, CONSUMER, before))
    decisions = []
    for step in steps:
        with traced(step.traceparent):
            decision = _decide(context, step, written, now)
            if decision is not None and decision.withdraw:
                decision = await _withdraw(tx, context, step, written, now) or decision
        decisions.append(decision)
    changes = [(root, written.after[order_id]) for order_id, root in before.items()]
    await fulfillments.save(tx, changes, context.provider.name, now + context.watch_every)
    await operations.plan(tx, written.planned, wakes=True)
    if any(after.state is domain.FulfillmentState.QUEUED and after != before for before, after in changes):
        await jobs.wake(tx, QUEUED)
    await incidents.open_incidents(tx, written.found)
    await outbox.append(tx, written.events)
    return decisions


def _decide(context: Context, step: Step, written: _Written, now: datetime) -> domain.Decision | None:
    root = written.after.get(step.order_id)
    if root is None:
        return None
    decision = domain.decide(root, step.cause, now, context.rules, parked=step.order_id in written.parked)
    written.after[step.order_id] = decision.fulfillment
    written.events.extend(published.facts_of(decision, step.caused_by, context.provider.name, now))
    written.planned.extend(_planned(context, step, plan, now) for plan in decision.operations)
    written.found.extend(
        incidents.Incident(seen.kind, seen.subject, now, step.order_id, dict(seen.details))
        for seen in decision.incidents
    )
    return decision


async def _withdraw(
    tx: Transaction, context: Context, step: Step, written: _Written, now: datetime
) -> domain.Decision | None:
    """Take back calls that were surely never executed; what is in doubt must be waited for (S-10).

    A hold is only then decided (S-23); returns that decision.
    """
    await operations.plan(tx, written.planned)
    written.planned.clear()
    under_way = [o for o in written.after[step.order_id].operations if o.kind is not domain.Kind.CANCEL]
    ids = {operations.operation_id(o.kind, step.order_id, o.number): o for o in under_way}
    withdrawn = await operations.withdraw(tx, list(ids), now=now)
    if isinstance(step.cause, domain.HoldFulfillment):
        hold = replace(step.cause, taken_back=withdrawn == ids.keys())
        return _decide(context, replace(step, cause=hold), written, now)
    for operation_id in sorted(withdrawn):
        gone = ids[operation_id]
        end = domain.OperationEnded(gone.kind, gone.number, False, code=operations.WITHDRAWN, absent=True)
        _decide(context, Step(step.order_id, end, step.caused_by), written, now)
    return None


def _planned(context: Context, step: Step, plan: domain.OperationPlan, now: datetime) -> operations.PlannedOperation:
    external_id = context.provider.external_id(step.order_id, plan.reference)
    parameters: dict[str, Any] = {"external_id": external_id, "reference": plan.reference}
    if plan.kind is domain.Kind.CREATE:
        if step.create is None:
            raise ValueError(f"{type(step.cause).__name__} plans a create without its parameters")
        parameters["order"] = dict(step.create)
    return operations.PlannedOperation(
        kind=plan.kind,
        subject=step.order_id,
        number=plan.number,
        provider=context.provider.name,
        request=operations.encode_parameters(parameters),
        planned_at=now,
    )
