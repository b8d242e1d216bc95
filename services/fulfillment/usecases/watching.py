"""Webhooks as hints, and objects that nobody hinted at for long: both are fetched, and what was fetched is applied.

Why: a webhook may be forged, late, doubled or lost; the object at the provider is what counts (S-22, F-21).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from services.chassis import incidents, jobs
from services.chassis.batch import Batcher, Retry
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.errors import DomainError
from services.chassis.operations import Retryable, Unknown
from services.chassis.telemetry import get_logger
from services.fulfillment import domain
from services.fulfillment.store import fulfillments, webhooks
from services.fulfillment.store.webhooks import Mark, StoredWebhook
from services.fulfillment.usecases.decisions import Context, Step, apply

log = get_logger(__name__)

HINTED: Final = "webhooks"  # what the job that fetches objects is woken by
NOT_APPLIED: Final = "provider_object_not_applied"
UNKNOWN_WORD: Final = "provider_word_unknown"
_TRIES: Final = 3
_AT_ONCE: Final = 20  # an object that the provider is slow to show does not hold up the others
_ONCE: Final = Retry(within=timedelta(0))  # a job that meets broken plumbing runs again anyway


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
    objects, places = _Objects(database, context), asyncio.Semaphore(_AT_ONCE)

    async def one(source: str, external_id: str, hashes: list[bytes]) -> int:
        order_id = context.provider.order_of(external_id)
        async with places:
            outcome = await objects.take_in(order_id, external_id) if order_id else "unknown"
        if outcome:
            await objects.mark([Mark(source, content_hash, outcome) for content_hash in hashes])
        return len(hashes) if outcome else 0

    return sum(await asyncio.gather(*(one(*key, hashes) for key, hashes in by_object.items())))


async def watch(database: Database, context: Context, limit: int) -> int:
    """Fetch objects that were not seen for long, because a webhook may be lost; returns how many."""
    now = context.clock.now()
    order_ids = await fulfillments.to_watch(database, now, limit)
    if not order_ids:
        return 0
    objects, places = _Objects(database, context), asyncio.Semaphore(_AT_ONCE)

    async def one(order_id: str, number: int) -> None:
        async with places:
            await objects.take_in(order_id, context.provider.external_id(order_id, number))

    roots = await fulfillments.read(database, order_ids)
    await asyncio.gather(*(one(order_id, root.number) for order_id, root in roots.items()))
    later = now + context.watch_every
    await database.run(lambda tx: fulfillments.watch_later(tx, order_ids, later))
    return len(order_ids)


class _Objects:
    """Fetches objects one by one and takes them in together: each step of those that are ready is one transaction."""

    def __init__(self, database: Database, context: Context) -> None:
        self._database = database
        self._context = context
        self._reads = Batcher(self._read, name="hinted_reads", retry=_ONCE)
        self._sights = Batcher(self._apply, name="hinted_objects", retry=_ONCE)
        self._marks = Batcher(self._mark, name="hints", retry=_ONCE)

    async def take_in(self, order_id: str, external_id: str) -> str:
        """What became of it. One that cannot be taken in is shown to a person and holds up no other (R-5.6)."""
        try:
            return await self._refresh(order_id, external_id)
        except Exception as error:
            if is_broken_plumbing(error):
                raise
            log.exception("provider_object_not_applied", order_id=order_id, external_id=external_id)
            await self._tell(NOT_APPLIED, order_id, external_id, error=type(error).__name__)
            return "unknown"

    async def mark(self, marks: Sequence[Mark]) -> None:
        """Webhooks are done."""
        for answer in await self._marks.submit_all(marks):
            if isinstance(answer, DomainError):
                raise answer

    async def _refresh(self, order_id: str, external_id: str) -> str:
        """Fetch and apply; what was overtaken meanwhile is fetched again. Empty: the provider cannot say now."""
        for _ in range(_TRIES):
            known = await self._reads.submit(order_id)
            if known is None:
                return "unknown"
            try:
                answer = await self._context.provider.fetch(external_id)
            except (Retryable, Unknown) as error:
                log.warning("provider_not_asked", order_id=order_id, error=repr(error))
                return ""
            if answer is None:
                return "unknown"
            sight = self._context.provider.read_object(answer, self._context.clock.now())
            decision = await self._sights.submit(Step(order_id, replace(sight, sights=known.sights)))
            if decision is None or decision.outcome is not domain.Outcome.STALE:
                if words := self._context.provider.unknown_words(answer):
                    await self._tell(UNKNOWN_WORD, order_id, external_id, words=", ".join(words))
                return "applied"
        return "stale"

    async def _tell(self, kind: str, order_id: str, external_id: str, **details: str) -> None:
        """Show it to a person, once per object while nobody has decided."""
        seen = incidents.Incident(
            kind, external_id, self._context.clock.now(), order_id, {"external_id": external_id, **details}
        )
        await self._database.run(lambda tx: incidents.open_incidents(tx, [seen]))

    async def _read(self, order_ids: Sequence[str]) -> list[domain.Fulfillment | None]:
        roots = await fulfillments.read(self._database, order_ids)
        return [roots.get(order_id) for order_id in order_ids]

    async def _apply(self, steps: Sequence[Step]) -> list[domain.Decision | None]:
        return await self._database.run(lambda tx: apply(tx, self._context, steps))

    async def _mark(self, marks: Sequence[Mark]) -> list[bool]:
        await self._database.run(lambda tx: webhooks.mark(tx, marks, self._context.clock.now()))
        return [True] * len(marks)
