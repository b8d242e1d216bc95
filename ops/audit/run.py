"""The audit: all laws over all witnesses, looked at more than once where something is under way.

Why: databases, topics and providers cannot be read at one instant. What is on its way looks like a breach, and is gone
a moment later; a real breach stays.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import ops.audit.laws  # noqa: F401 - registers them
from ops.audit.claims import READERS, read_claims
from ops.audit.kafka import Topics, read_groups, read_topics
from ops.audit.law import LAWS, Breach, Law
from ops.audit.sources import Places, Sources, archived, open_books

PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Verdict:
    """What an audit found: breaches that stood at every look, and how much was looked at.

    `laws` counts those all of whose witnesses were there; `unseen` says what was missing for others, unless it may be.
    """

    breaches: Sequence[Breach]
    laws: int
    events: int
    looks: int
    unseen: Sequence[str] = ()


async def audit(
    places: Places,
    *,
    patience_seconds: float = 5.0,
    at_rest: bool = False,
    window: timedelta | None = None,
    without: Collection[str] = (),
) -> Verdict:
    """Look until nothing is found or patience ends; what was not found every time is no breach.

    `at_rest`: nobody buys; one look must find nothing at all, and nothing may be under way. `window`: only events that
    are younger; without it, all that the topics keep. `without`: witnesses that need not be there.
    """
    deadline = time.monotonic() + patience_seconds
    standing: list[Breach] = []
    looks = 0
    while True:
        if at_rest:
            await _wait_for_databases(places, deadline)
        found, sources = await look(places, at_rest=at_rest, window=window)
        looks += 1
        standing = found if at_rest or looks == 1 else still_standing(standing, found)
        if not standing or time.monotonic() > deadline:
            unseen = {each.name: each.unseen(sources) for each in LAWS if each.unseen(sources)}
            lines = [f"{name} ({', '.join(gone)})" for name, gone in unseen.items() if not set(gone) <= set(without)]
            events = sum(map(len, sources.topics.events.values()))
            return Verdict(sorted(standing), len(LAWS) - len(unseen), events, looks, lines)
        await asyncio.sleep(PAUSE_SECONDS)


async def look(
    places: Places, *, at_rest: bool = False, window: timedelta | None = None
) -> tuple[list[Breach], Sources]:
    """One look at everything: what is wrong, and what was there.

    Each witness is read before the one that must know at least as much: how far groups have read, what databases say
    of it, what the topics hold, what the archive holds. The databases' snapshots end before the topics are read.
    """
    since = datetime.now(UTC) - window if window else None
    groups = [reader.group for reader in READERS]
    following = await read_groups(places.kafka, groups, places.topic_prefix) if places.kafka else {}
    async with open_books(places, at_rest=at_rest) as books:
        found = await breaches(books, (each for each in LAWS if not each.is_about_topics))
        claims = await read_claims(books, since) if places.kafka else {}
    topics = await read_topics(places.kafka, following, places.topic_prefix, since) if places.kafka else Topics()
    sources = replace(books, claims=claims, topics=topics, archive=archived(places.archive))
    return found + await breaches(sources, (each for each in LAWS if each.is_about_topics)), sources


async def _wait_for_databases(places: Places, deadline: float) -> None:
    """The databases alone are quickly read, and show most of what is still under way."""
    while time.monotonic() < deadline:
        async with open_books(places, at_rest=True, everywhere=False) as sources:
            if not await breaches(sources):
                return
        await asyncio.sleep(PAUSE_SECONDS)


def still_standing(before: Sequence[Breach], now: Sequence[Breach]) -> list[Breach]:
    """Breaches of the same law about the same thing, as they are told now."""
    known = {(breach.law, breach.subject) for breach in before}
    return [breach for breach in now if (breach.law, breach.subject) in known]


async def breaches(sources: Sources, laws: Iterable[Law] = LAWS) -> list[Breach]:
    """Every breach that one look shows, law by law."""
    return [breach for each in laws for breach in await each.breaches(sources)]
