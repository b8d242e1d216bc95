"""The audit: all laws over all witnesses, looked at more than once where something is under way.

Why: databases, topics and providers cannot be read at one instant. What is on its way looks like a breach, and is gone
a moment later; a real breach stays.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ops.audit.laws  # noqa: F401 - registers them
from ops.audit.law import LAWS, Breach
from ops.audit.sources import Places, Sources, look

PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Verdict:
    """What an audit found: breaches that stood at every look, and how much was looked at."""

    breaches: Sequence[Breach]
    laws: int
    events: int
    looks: int


async def audit(places: Places, *, patience_seconds: float = 5.0, at_rest: bool = False) -> Verdict:
    """Look until nothing is found or patience ends; what was not found every time is no breach.

    `at_rest`: nobody buys; one look must find nothing at all, and nothing may be under way.
    """
    deadline = time.monotonic() + patience_seconds
    standing: list[Breach] = []
    looks = 0
    while True:
        if at_rest:
            await _wait_for_databases(places, deadline)
        async with look(places, at_rest=at_rest) as sources:
            found = await breaches(sources)
            events = sum(map(len, sources.topics.events.values()))
        looks += 1
        standing = found if at_rest or looks == 1 else still_standing(standing, found)
        if not standing or time.monotonic() > deadline:
            return Verdict(sorted(standing), len(LAWS), events, looks)
        await asyncio.sleep(PAUSE_SECONDS)


async def _wait_for_databases(places: Places, deadline: float) -> None:
    """The databases alone are quickly read, and show most of what is still under way."""
    while time.monotonic() < deadline:
        async with look(places, at_rest=True, everywhere=False) as sources:
            if not await breaches(sources):
                return
        await asyncio.sleep(PAUSE_SECONDS)


def still_standing(before: Sequence[Breach], now: Sequence[Breach]) -> list[Breach]:
    """Breaches of the same law about the same thing, as they are told now."""
    known = {(breach.law, breach.subject) for breach in before}
    return [breach for breach in now if (breach.law, breach.subject) in known]


async def breaches(sources: Sources) -> list[Breach]:
    """Every breach that one look shows, law by law."""
    return [breach for each in LAWS for breach in await each.breaches(sources)]
