"""Webhooks as hints, and objects that nobody hinted at for long: both are fetched, and what was fetched is applied.

Why: a webhook may be forged, late, doubled or lost; the object at the provider is what counts (S-22, F-21).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from services.chassis import incidents, jobs
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.operations import Retryable, Unknown
from services.chassis.telemetry import get_logger
from services.fulfillment import domain
from services.fulfillment.store import fulfillments, webhooks
from services.fulfillment.store.webhooks import StoredWebhook
from services.fulfillment.usecases.decisions import Context, Step, apply

log = get_logger(__name__)

HINTED: Final = "webhooks"  # what the job that fetches objects is woken by
NOT_APPLIED: Final = "provider_object_not_applied"
_TRIES: Final = 3
_AT_ONCE: Final = 4  # an object that the provider is slow to show does not hold up the others


async def take_in(tx: Transaction, stored: Sequence[StoredWebhook]) -> list[bool]:
    """Keep webhooks, one answer each: whether its content is new; of equal ones in the batch the first is."""
    firsts = {(webhook.source, webhook.content_hash): webhook for webhook in reversed(stored)}
    new = await webhooks.store(tx, list(firsts.values()))
    answers = []
    for webhook in stored:
        answers.append(webhook.content_hash in new and firsts[webhook.source, webhook.content_hash] is webhook)
    if new:
        await jobs.wake(tx, HINTED)
    return answers


async def apply_hints(database: Database, context: Context, limit: int) -> int:
    """Fetch what stored webhooks name, each object once, and apply it; returns how many webhooks are done."""
    by_object: dict[tuple[str, str], list[bytes]] = {}
    for hint in await webhooks.unprocessed(database, limit):
        by_object.setdefault((hint.source, hint.external_id), []).append(hint.content_hash)
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(source: str, external_id: str, hashes: list[bytes]) -> int:
        order_id = context.provider.order_of(external_id)
        async with places:
            outcome = await _try(database, context, order_id, external_id) if order_id else "unknown"
            if outcome:
                await _mark(database, context, source, hashes, outcome)
        return len(hashes) if outcome else 0

    return sum(await asyncio.gather(*(one(*key, hashes) for key, hashes in by_object.items())))


async def watch(database: Database, context: Context, limit: int) -> int:
    """Fetch objects that were not seen for long, because a webhook may be lost; returns how many."""
    now = context.clock.now()
    order_ids = await fulfillments.to_watch(database, now, limit)
    for order_id, root in (await fulfillments.read(database, order_ids)).items():
        await _try(database, context, order_id, context.provider.external_id(order_id, root.number))

        async def later(tx: Transaction, order_id: str = order_id) -> None:
            await fulfillments.watch_later(tx, order_id, now + context.watch_every)

        await database.run(later)
    return len(order_ids)


async def _try(database: Database, context: Context, order_id: str, external_id: str) -> str:
    """One object that cannot be taken in is shown to a person and does not hold up the others (R-5.6)."""
    try:
        return await _refresh(database, context, order_id, external_id)
    except Exception as error:
        if is_broken_plumbing(error):
            raise
        log.exception("provider_object_not_applied", order_id=order_id, external_id=external_id)
        details = {"external_id": external_id, "error": type(error).__name__}
        seen = incidents.Incident(NOT_APPLIED, external_id, context.clock.now(), order_id, details)
        await database.run(lambda tx: incidents.open_incidents(tx, [seen]))
        return "unknown"


async def _refresh(database: Database, context: Context, order_id: str, external_id: str) -> str:
    """Fetch and apply; what was overtaken meanwhile is fetched again. Empty: the provider cannot say now."""
    for _ in range(_TRIES):
        known = await fulfillments.read(database, [order_id])
        if order_id not in known:
            return "unknown"
        try:
            answer = await context.provider.fetch(external_id)
        except (Retryable, Unknown) as error:
            log.warning("provider_not_asked", order_id=order_id, error=repr(error))
            return ""
        if answer is None:
            return "unknown"
        sight = context.provider.read_object(answer, context.clock.now())
        step = Step(order_id, replace(sight, sights=known[order_id].sights))

        async def body(tx: Transaction, step: Step = step) -> list[domain.Decision | None]:
            return await apply(tx, context, [step])

        (decision,) = await database.run(body)
        if decision is None or decision.outcome is not domain.Outcome.STALE:
            return "applied"
    return "stale"


async def _mark(database: Database, context: Context, source: str, hashes: list[bytes], outcome: str) -> None:
    async def body(tx: Transaction) -> None:
        await webhooks.mark(tx, source, hashes, context.clock.now(), outcome)

    await database.run(body)
