"""The simulators' time and what they do at a time, so that a test can let a day pass without waiting."""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime

from .refusal import Refusal


class SimulatorClock:
    """Unix seconds; `advance` moves the simulators' time ahead of `base`, which stays the time of everybody else."""

    def __init__(self, base: Callable[[], float] = time.time) -> None:
        self._base = base
        self._ahead = 0.0

    def now(self) -> float:
        """The simulators' time: what objects are stamped with, what expiry and retries are measured by."""
        return self._base() + self._ahead

    def wall(self) -> float:
        """The time of the outside: signatures are stamped with it, for their readers have not moved (F-1)."""
        return self._base()

    def advance(self, seconds: float) -> None:
        """Move the simulators' time; never backwards, since nothing that happened can be undone."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        self._ahead += seconds


class Agenda:
    """What is due at which time; `run_due` does it in order, whoever calls."""

    def __init__(self, clock: SimulatorClock) -> None:
        self._clock = clock
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._sequence = 0
        self.changed = asyncio.Event()

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Do `action` at `when` (unix seconds) or right after."""
        self._sequence += 1
        heapq.heappush(self._entries, (when, self._sequence, action))
        self.changed.set()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` in `seconds` from now."""
        self.at(self._clock.now() + seconds, action)

    def next_due(self) -> float | None:
        """When the next entry is due, or None."""
        return self._entries[0][0] if self._entries else None

    def run_due(self) -> int:
        """Do everything that is due now, in order of time; returns how many."""
        done = 0
        while self._entries and self._entries[0][0] <= self._clock.now():
            _, _, action = heapq.heappop(self._entries)
            # A plan that no longer fits its object's state (somebody was faster) is dropped.
            with contextlib.suppress(Refusal):
                action()
            done += 1
        return done

    def clear(self) -> None:
        """Forget everything that was planned."""
        self._entries.clear()


def iso(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the second: `2026-11-21T09:14:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
