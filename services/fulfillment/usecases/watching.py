"""Webhooks as hints, and objects that nobody hinted at for long: both are fetched, and what was fetched is applied.

Why: a webhook may be forged, late, doubled or lost; the object at the provider is what counts (S-22, F-21).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.chassis import incidents, jobs
from services.chassis.batch import Batcher, Retry
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.errors import DomainError
from services.chassis.operations import Retryable, Unknown
from services.chassis.telemetry import get_logger
from services.fulfillment import domain
from services.fulfillment.store import fulfillments, webhooks
from services.fulfillment.store.webhooks import Hint, Mark, StoredWebhook
from services.fulfillment.usecases.decisions import Context, Step, apply

log = get_logger(__name__)

HINTED: Final = "webhooks"  # what the job that fetches objects is woken by
NOT_APPLIED: Final = "provider_object_not_applied"
UNKNOWN_WORD: Final = "provider_word_unknown"
NOTHING_NEW: Final = "nothing_new_at_provider"
WATCHED_FOR: Final = timedelta(days=60)  # since something new was seen: more than any parcel is under way
_LONGEST_PAUSE: Final = timedelta(days=1)
_SHARE_OF_AGE: Final = 4  # a look after another quarter of the time without news: about 20 looks in a week
_TRIES: Final = 3
_AT_ONCE: Final = 20  # an object that the provider is slow to show does not hold up the others
_ONCE: Final = Retry(within=timedelta(0))  # a job that meets broken plumbing runs again anyway


@dataclass(slots=True)
class Looks:
    """What the provider allows looks, kept from run to run: fresh orders need its calls more (F-18).

    Once it refused one for its limit, none is begun until the time that it said, and then one object goes first.
    """

    refused: str = ""
    until: datetime | None = None

    def wait(self, now: datetime) -> timedelta | None:
        """How long no look may be begun."""
        return self.until - now if self.until and self.until > now else None

    def answered(self, now: datetime, refused: str = "", wait: timedelta | None = None) -> None:
        """The provider answered a look; `wait` if its calls are used up."""
        if wait:
            self.refused, self.until = refused, now + wait
        elif not self.wait(now):
            self.until = None


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


async def apply_hints(database: Database, context: Context, looks: Looks, limit: int) -> int:
    """Fetch what stored webhooks name, each object once, and apply it; returns how many webhooks were looked at.

    0 also where the rest has to wait for the provider.
    """
    now, pauses = context.clock.now(), context.rules.pauses
    if looks.wait(now):
        return 0
    waiting = await webhooks.unprocessed(database, now, 1 if looks.until else limit)
    by_object: dict[tuple[str, str], list[Hint]] = {}
    for hint in waiting:
        by_object.setdefault((hint.source, hint.external_id), []).append(hint)
    objects, places = _Objects(database, context, looks), asyncio.Semaphore(_AT_ONCE)
    late: list[tuple[Hint, datetime]] = []

    async def one(external_id: str, hints: list[Hint]) -> None:
        order_id = context.provider.order_of(external_id) or ""
        async with places:
            look = await objects.take_in(order_id, external_id) if order_id else _Look("unknown")
        if not look.outcome:
            tried = [hint if look.wait else replace(hint, tries=hint.tries + 1) for hint in hints]
            hints = [hint for hint in tried if hint.tries > len(pauses)]
            late.extend((hint, now + (look.wait or pauses[hint.tries - 1])) for hint in tried if hint not in hints)
            if hints:
                await objects.tell(NOT_APPLIED, order_id, external_id, error=look.error)
        await objects.mark([Mark(hint.source, hint.content_hash, look.outcome or "unknown") for hint in hints])

    await asyncio.gather(*(one(external_id, hints) for (_, external_id), hints in by_object.items()))
    if late:
        await database.run(lambda tx: webhooks.put_off(tx, late))
    return 0 if looks.wait(now) else len(waiting)


async def watch(database: Database, context: Context, looks: Looks, limit: int) -> int:
    """Fetch objects that were not seen for long, because a webhook may be lost; returns how many.

    The longer nothing new was seen, the longer until the next look, and some day a person is told instead.
    """
    now = context.clock.now()
    if looks.wait(now):
        return 0
    since = await fulfillments.to_watch(database, now, 1 if looks.until else limit)
    if not since:
        return 0
    objects, places = _Objects(database, context, looks), asyncio.Semaphore(_AT_ONCE)
    roots = await fulfillments.read(database, since)
    names = {order_id: context.provider.external_id(order_id, root.number) for order_id, root in roots.items()}

    async def one(order_id: str) -> datetime | None:
        """When to look again if there was nothing new."""
        async with places:
            look = await objects.take_in(order_id, names[order_id])
        age = now - since[order_id]
        pause = max(min(age / _SHARE_OF_AGE, _LONGEST_PAUSE), context.watch_every)
        return None if age >= WATCHED_FOR else now + (pause if look.outcome else context.watch_every)

    later = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    async def body(tx: Transaction) -> None:
        ended = await fulfillments.watch_later(tx, {order_id: (since[order_id], at) for order_id, at in later.items()})
        silent = [order_id for order_id in ended if _is_awaited(roots[order_id])]
        await incidents.open_incidents(tx, [_nothing_new(order_id, names[order_id], now) for order_id in silent])

    await database.run(body)
    return len(since)


def _is_awaited(root: domain.Fulfillment) -> bool:
    """Whether something must still come; of a parcel that failed a person was told already."""
    return not root.has_ended or any(parcel.state is domain.ShipmentState.SENT for parcel in root.shipments)


def _nothing_new(order_id: str, external_id: str, now: datetime) -> incidents.Incident:
    details = {"external_id": external_id, "days": WATCHED_FOR.days}
    return incidents.Incident(NOTHING_NEW, external_id, now, order_id, details)


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of looking at an object: an outcome, or else the reason why the provider could not say.

    `wait`: its calls are used up for so long (F-18), which says nothing about the object.
    """

    outcome: str = ""
    error: str = ""
    wait: timedelta | None = None


class _Objects:
    """Fetches objects one by one and takes them in together: each step of those that are ready is one transaction."""

    def __init__(self, database: Database, context: Context, looks: Looks) -> None:
        self._database = database
        self._context = context
        self._looks = looks
        self._reads = Batcher(self._read, name="hinted_reads", retry=_ONCE)
        self._sights = Batcher(self._apply, name="hinted_objects", retry=_ONCE)
        self._marks = Batcher(self._mark, name="hints", retry=_ONCE)

    async def take_in(self, order_id: str, external_id: str) -> _Look:
        """What became of it. One that cannot be taken in is shown to a person and holds up no other (R-5.6)."""
        if wait := self._looks.wait(self._context.clock.now()):
            return _Look(error=self._looks.refused, wait=wait)
        try:
            return await self._refresh(order_id, external_id)
        except Exception as error:
            if is_broken_plumbing(error):
                raise
            log.exception("provider_object_not_applied", order_id=order_id, external_id=external_id)
            await self.tell(NOT_APPLIED, order_id, external_id, error=type(error).__name__)
            return _Look("unknown")

    async def mark(self, marks: Sequence[Mark]) -> None:
        """Webhooks are done."""
        for answer in await self._marks.submit_all(marks):
            if isinstance(answer, DomainError):
                raise answer

    async def tell(self, kind: str, order_id: str, external_id: str, **details: str) -> None:
        """Show it to a person, once per object while nobody has decided."""
        seen = incidents.Incident(
            kind, external_id, self._context.clock.now(), order_id, {"external_id": external_id, **details}
        )
        await self._database.run(lambda tx: incidents.open_incidents(tx, [seen]))

    async def _refresh(self, order_id: str, external_id: str) -> _Look:
        """Fetch and apply; what was overtaken meanwhile is fetched again."""
        for _ in range(_TRIES):
            known = await self._reads.submit(order_id)
            if known is None:
                return _Look("unknown")
            try:
                answer = await self._context.provider.fetch(external_id)
            except (Retryable, Unknown) as error:
                log.warning("provider_not_asked", order_id=order_id, error=repr(error))
                wait = error.after if isinstance(error, Retryable) else None
                look = _Look(error=ascii(str(error))[:500], wait=wait)
                self._looks.answered(self._context.clock.now(), look.error, wait)
                return look
            self._looks.answered(self._context.clock.now())
            if answer is None:
                return _Look("unknown")
            sight = self._context.provider.read_object(answer, self._context.clock.now())
            decision = await self._sights.submit(Step(order_id, replace(sight, sights=known.sights)))
            if decision is None or decision.outcome is not domain.Outcome.STALE:
                if words := self._context.provider.unknown_words(answer):
                    await self._tell_words(order_id, external_id, words)
                return _Look("applied")
        return _Look("stale")

    async def _tell_words(self, order_id: str, external_id: str, words: Sequence[str]) -> None:
        """Each word of an object once: whoever decided about it must not hear of it at every look."""
        now = self._context.clock.now()
        seen = [
            incidents.Incident(UNKNOWN_WORD, f"{external_id} {word}", now, order_id, {"word": word}) for word in words
        ]

        async def body(tx: Transaction) -> None:
            told = await incidents.subjects_told(tx, UNKNOWN_WORD, order_id)
            await incidents.open_incidents(tx, [each for each in seen if each.subject not in told])

        await self._database.run(body)

    async def _read(self, order_ids: Sequence[str]) -> list[domain.Fulfillment | None]:
        roots = await fulfillments.read(self._database, order_ids)
        return [roots.get(order_id) for order_id in order_ids]

    async def _apply(self, steps: Sequence[Step]) -> list[domain.Decision | None]:
        return await self._database.run(lambda tx: apply(tx, self._context, steps))

    async def _mark(self, marks: Sequence[Mark]) -> list[bool]:
        await self._database.run(lambda tx: webhooks.mark(tx, marks, self._context.clock.now()))
        return [True] * len(marks)
