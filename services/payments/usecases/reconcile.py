"""Hold the provider's own lists against ours: missed webhooks, orphans, drifts (R-1.6, R-1.18).

Why: what a webhook did not tell goes through the same intake as webhooks, so that there is one writer of money facts.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.chassis import incidents
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.errors import DomainError
from services.chassis.telemetry import get_logger
from services.chassis.together import together
from services.payments import domain
from services.payments.providers.base import Shown, Unreadable
from services.payments.store import payables, reconciled, webhooks
from services.payments.usecases.decisions import Context, Step, apply
from services.payments.usecases.webhooks import UNMATCHED, Result, Webhook, WebhookOutcome

log = get_logger(__name__)

NOT_RECONCILED: Final = "object_not_reconciled"
OVERDUE: Final = "reconciler_overdue"
_BATCH: Final = 100
_CREATED_LATE: Final = timedelta(days=1)  # an object may be made so long after its attempt was begun (F-9)
CAUSE: Final = "reconciler"
_DONE: Final = (WebhookOutcome.APPLIED, WebhookOutcome.STALE, WebhookOutcome.IGNORED)
Batch = Sequence[Webhook]
Intake = Callable[[Batch], Awaitable[Sequence[Result | DomainError]]]


@dataclass(slots=True)
class Reconciled:
    """What a run found and healed."""

    events_recovered: int = 0
    orphans_ended: int = 0
    incidents: int = 0


async def go_on(
    database: Database, context: Context, intake: Intake, window: timedelta, overdue: timedelta
) -> Reconciled:
    """Reconcile what came since the last run that ended, and in a `window` before it.

    A run that fails raises what failed; after `overdue` without a good one a person is told, until there is one.
    """
    now, provider = context.clock.now(), context.provider.name
    last = await database.run(lambda tx: reconciled.begin(tx, provider, now))
    try:
        result = await reconcile(database, context, intake, min(last, now) - window, now)
    except Exception as error:
        if not is_broken_plumbing(error) and now - last >= overdue:
            details = {"since": last.isoformat(), "problem": repr(error)[:500]}
            incident = incidents.Incident(OVERDUE, provider, now, details=details)
            await database.run(lambda tx: incidents.open_incidents(tx, [incident]))
        raise

    async def body(tx: Transaction) -> None:
        await reconciled.finish(tx, provider, now)
        await incidents.match(tx, OVERDUE, [provider], now=now)

    await database.run(body)
    return result


async def reconcile(
    database: Database, context: Context, intake: Intake, since: datetime, until: datetime
) -> Reconciled:
    """Take in missed events of the window, then end orphans and heal attempts that drifted."""
    result = Reconciled()
    missed: dict[str, bytes] = {}
    async for event_id, body in context.provider.events(since, until):
        missed[event_id] = body
        if len(missed) == _BATCH:
            await _recover(database, context, intake, missed, result)
            missed = {}
    await _recover(database, context, intake, missed, result)
    # What each state was before the provider is asked, by its own clock: what comes meanwhile is newer than its list.
    live = await payables.live_since(database, context.provider.name, since - _CREATED_LATE)
    batch: list[Shown] = []
    async for shown in context.provider.payables(since, until, context.clock.now()):
        if isinstance(shown, Unreadable):
            result.incidents += await _report(database, context, shown.object_id, shown.order_id, shown.problem)
            continue
        as_of = live.get(shown.seen.object_id, shown.created)
        batch.append(replace(shown, seen=replace(shown.seen, as_of=as_of)))
        if len(batch) == _BATCH:
            await _heal(database, context, batch, result)
            batch = []
    await _heal(database, context, batch, result)
    return result


async def _recover(
    database: Database, context: Context, intake: Intake, events: dict[str, bytes], result: Reconciled
) -> None:
    """Missed events go in like webhooks, oldest first; those that came meanwhile are duplicates there."""
    known = await webhooks.received(database, context.provider.name, list(events))
    now = context.clock.now()
    batch = [
        Webhook(context.provider.name, body, now)
        for event_id, body in reversed(events.items())
        if event_id not in known
    ]
    for outcome in await intake(batch) if batch else ():
        if isinstance(outcome, DomainError):
            raise outcome
        result.events_recovered += outcome.outcome in _DONE
        result.incidents += outcome.outcome is WebhookOutcome.INCIDENT


async def _heal(database: Database, context: Context, batch: Sequence[Shown], result: Reconciled) -> None:
    """Take in a batch; one object that cannot be stored stops no other, and a person is told."""

    async def failed(shown: Shown, error: Exception) -> tuple[int, int]:
        return 0, await _report(database, context, shown.seen.object_id, shown.order_id, repr(error))

    for orphans, found in await together(batch, lambda some: _take_in(database, context, some), failed):
        result.orphans_ended += orphans
        result.incidents += found


async def _report(database: Database, context: Context, object_id: str, order_id: str, problem: str) -> int:
    log.error("object_not_reconciled", object_id=object_id, order_id=order_id, problem=problem)
    incident = incidents.Incident(NOT_RECONCILED, object_id, context.clock.now(), order_id, {"problem": problem[:500]})
    return len(await database.run(lambda tx: incidents.open_incidents(tx, [incident])))


async def _take_in(database: Database, context: Context, batch: Sequence[Shown]) -> tuple[int, int]:
    """Apply what an object shows where it differs; an object that nobody asked for is adopted or ended.

    Returns how many orphans are to end, and how many incidents were found.
    """
    ids = [object_id for shown in batch for object_id in (shown.seen.session_id, shown.seen.payment_id)]
    orders = await payables.find_orders(database, context.provider.name, ids)
    placed = [(_order_of(shown, orders), shown) for shown in batch]
    known = await payables.known(database, {order_id for order_id, _ in placed if order_id})
    steps = [Step(order_id, shown.seen, CAUSE) for order_id, shown in placed if order_id in known]

    async def body(tx: Transaction) -> tuple[int, int]:
        decisions = await apply(tx, context, steps, create=False)
        orphans = sum(
            plan.kind is domain.Kind.CANCEL and decision.payable.attempt(plan.target_id).orphan
            for decision in decisions
            if decision is not None
            for plan in decision.operations
        )
        now = context.clock.now()
        lost = [
            incidents.Incident(UNMATCHED, shown.seen.money_id, now, order_id, {"state": shown.word})
            for order_id, shown in placed
            if order_id and order_id not in known and shown.seen.state is not domain.AttemptState.CANCELED
        ]
        opened = await incidents.open_incidents(tx, lost)
        found = sum(len(decision.incidents) for decision in decisions if decision is not None)
        return orphans, len(opened) + found

    return await database.run(body)


def _order_of(shown: Shown, orders: dict[str, str]) -> str:
    return orders.get(shown.seen.session_id) or orders.get(shown.seen.payment_id) or shown.order_id
