"""Take in webhooks: claim, translate, apply, all in one transaction for the whole batch (S-12, R-1.3).

Why: the provider gets its 2xx only after this commit, and what could not be processed stays unprocessed, so that the
provider's next delivery is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.chassis import incidents, outbox
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.telemetry import counter, get_logger
from services.chassis.together import together
from services.payments import domain, published
from services.payments.providers.base import Malformed, ProviderEvent
from services.payments.store import payables, raised, webhooks
from services.payments.store.webhooks import Key, StoredWebhook
from services.payments.usecases.decisions import Context, Step, decide

log = get_logger(__name__)

UNMATCHED: Final = "order_not_found"
UNREADABLE: Final = "webhook_unreadable"
NOT_MATCHED: Final = "webhook_not_matched"

_outcomes = counter("payment_webhooks_total", "Webhooks by type and what became of them", ["type", "outcome"])


class WebhookOutcome(StrEnum):
    """What became of one webhook; the first four are stored."""

    APPLIED = "applied"
    STALE = "stale"
    IGNORED = "ignored"
    INCIDENT = "incident"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An authentic webhook as the gateway hands it over."""

    source: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a webhook."""

    outcome: WebhookOutcome
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """A webhook and what it says."""

    stored: StoredWebhook
    event: ProviderEvent

    @property
    def key(self) -> Key:
        return self.stored.source, self.stored.event_id


async def ingest(database: Database, context: Context, batch: Sequence[Webhook]) -> list[Result]:
    """Apply a batch; its answers in order. A webhook that fails alone is recorded as failed (S-12).

    Raises what failed if the batch has several, so that the caller runs them one by one.
    """
    read = [_read(context, webhook) for webhook in batch]
    first: dict[Key, _Read] = {}
    for one in read:
        if one is not None and first.setdefault(one.key, one) is not one:
            earlier = first[one.key]
            first[one.key] = replace(earlier, stored=replace(earlier.stored, deliveries=earlier.stored.deliveries + 1))
    try:
        outcomes = await database.run(lambda tx: _apply(tx, context, list(first.values()))) if first else {}
    except Exception as error:
        if is_broken_plumbing(error) or len(batch) > 1:
            raise
        outcomes = await _record_failure(database, next(iter(first.values())), error)
    results: list[Result] = []
    counts: Counter[tuple[str, WebhookOutcome]] = Counter()
    for one in read:
        if one is None:
            results.append(Result(WebhookOutcome.MALFORMED))
        else:
            # The first of equal ids has the outcome, the others were duplicates within the batch.
            outcome = outcomes.pop(one.key, WebhookOutcome.DUPLICATE)
            results.append(Result(outcome, one.stored.event_id))
            counts[one.event.type if one.event.known else "other", outcome] += 1
    for (kind, outcome), count in counts.items():
        _outcomes.labels(kind, outcome).inc(count)
    return results


async def match(database: Database, context: Context, limit: int) -> int:
    """Apply unmatched webhooks whose order has appeared, and close their incidents (R-1.13). Returns how many."""
    found = await webhooks.matchable(database, limit)
    read = [one for raw in found if (one := _read(context, Webhook(raw.source, raw.raw, raw.received_at)))]
    matched = await together(
        read, lambda some: _match(database, context, some), lambda one, error: _set_aside(database, context, one, error)
    )
    return sum(matched)


async def _set_aside(database: Database, context: Context, one: _Read, error: Exception) -> int:
    """What cannot be matched counts as unprocessed again, and a person is told."""
    log.error("webhook_not_matched", event_id=one.stored.event_id, exc_info=error)
    now, problem = context.clock.now(), repr(error)
    details = {"type": one.stored.type, "problem": problem[:500]}
    incident = incidents.Incident(NOT_MATCHED, one.stored.event_id, now, one.event.order_id, details)

    async def body(tx: Transaction) -> None:
        await webhooks.set_aside(tx, one.key, problem)
        await incidents.open_incidents(tx, [incident])

    await database.run(body)
    return 0


async def _match(database: Database, context: Context, read: Sequence[_Read]) -> int:
    async def body(tx: Transaction) -> int:
        # Claimed anew under the lock of its row: two jobs at once would apply it twice (S-4: claims, then roots).
        held = await webhooks.lock_unmatched(tx, [one.key for one in read])
        mine = [one for one in read if one.key in held]
        outcomes = await _fold(tx, context, mine)
        matched = [one for one in mine if outcomes[one.key] is not WebhookOutcome.INCIDENT]
        await _finish(tx, context, {one.key: outcomes[one.key] for one in matched})
        now = context.clock.now()
        closed = await incidents.match(tx, UNMATCHED, [_subject(one) for one in matched], now=now)
        told = await raised.announced(tx, [incident.id for incident in closed])
        ends = [published.incident_resolved(i, i.order_id, "matched", now) for i in closed if i.id in told]
        await outbox.append(tx, ends)
        return len(matched)

    return await database.run(body)


async def _apply(tx: Transaction, context: Context, batch: Sequence[_Read]) -> dict[Key, WebhookOutcome]:
    fresh, new = await webhooks.claim(tx, [one.stored for one in batch], context.clock.now())
    outcomes = await _fold(tx, context, [one for one in batch if one.key in fresh])
    said = {one.key: one.stored.outcome for one in batch if one.key in new}
    await _finish(tx, context, {key: outcome for key, outcome in outcomes.items() if said.get(key) != outcome})
    return {one.key: outcomes.get(one.key, WebhookOutcome.DUPLICATE) for one in batch}


async def _fold(tx: Transaction, context: Context, batch: Sequence[_Read]) -> dict[Key, WebhookOutcome]:
    """Find the orders, lock them, and decide every fact in the order of arrival."""
    spoken = [one for one in batch if one.event.facts]
    ids = {object_id for one in spoken for object_id in one.event.object_ids}
    orders = await payables.find_orders(tx, context.provider.name, ids)
    order_of = {one.key: _order_of(one.event, orders) for one in spoken}
    before = await payables.lock(tx, {order for order in order_of.values() if order})
    steps = [
        Step(order_of[one.key], fact, one.stored.event_id)
        for one in spoken
        if order_of[one.key] in before
        for fact in one.event.facts
    ]
    decisions = iter(await decide(tx, context, steps, before))
    outcomes: dict[Key, WebhookOutcome] = {}
    lost: list[incidents.Incident] = []
    for one in batch:
        if one.event.facts and order_of[one.key] in before:
            said = [next(decisions) for _ in one.event.facts]
            stale = all(d is not None and d.outcome is domain.Outcome.STALE for d in said)
            outcomes[one.key] = WebhookOutcome.STALE if stale else WebhookOutcome.APPLIED
        elif one.event.facts or one.event.broken:
            outcomes[one.key] = WebhookOutcome.INCIDENT
            lost.append(_incident(one, context.clock.now()))
        else:
            outcomes[one.key] = WebhookOutcome.IGNORED
    await incidents.open_incidents(tx, lost)
    return outcomes


async def _finish(tx: Transaction, context: Context, outcomes: dict[Key, WebhookOutcome]) -> None:
    rows = [(source, event_id, outcome.value) for (source, event_id), outcome in outcomes.items()]
    await webhooks.finish(tx, rows, context.clock.now())


async def _record_failure(database: Database, one: _Read, error: Exception) -> dict[Key, WebhookOutcome]:
    """In a transaction of its own, for the one of the effect was rolled back (S-12)."""
    log.error("webhook_failed", source=one.stored.source, event_id=one.stored.event_id, exc_info=error)
    await database.run(lambda tx: webhooks.fail(tx, one.stored, repr(error)))
    return {one.key: WebhookOutcome.FAILED}


def _read(context: Context, webhook: Webhook) -> _Read | None:
    try:
        event = context.provider.read_event(webhook.body)
    except Malformed:
        return None
    stored = StoredWebhook(
        source=webhook.source,
        event_id=event.event_id,
        type=event.type,
        order_id=event.order_id or None,
        object_ids=" ".join(event.object_ids),
        raw=webhook.body,
        received_at=webhook.received_at,
        outcome=(WebhookOutcome.APPLIED if event.facts or event.broken else WebhookOutcome.IGNORED).value,
    )
    return _Read(stored, event)


def _order_of(event: ProviderEvent, orders: dict[str, str]) -> str:
    """Our own record of the object comes before what the event says (R-1.1)."""
    return next((orders[i] for i in event.object_ids if i in orders), event.order_id)


def _incident(one: _Read, now: datetime) -> incidents.Incident:
    details = {"event_id": one.stored.event_id, "type": one.stored.type}
    if one.event.broken:
        details["problem"] = one.event.broken
        return incidents.Incident(UNREADABLE, one.stored.event_id, now, one.event.order_id, details)
    return incidents.Incident(UNMATCHED, _subject(one), now, one.event.order_id, details)


def _subject(one: _Read) -> str:
    """The payment that it is about: several events of one payment are one incident."""
    fact = one.event.facts[0]
    return fact.money_id if isinstance(fact, domain.AttemptSeen) else fact.payment_id
