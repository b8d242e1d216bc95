"""Applies a batch of events in one transaction, and tells poison from broken plumbing.

Why: what breaks for everybody is retried and parks nothing; what breaks for one event parks its key only (S-26).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import asyncpg

from services.chassis import inbox
from services.chassis.clock import Clock
from services.chassis.consumer import parking
from services.chassis.consumer.records import Unreadable
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.telemetry import counter, get_logger

log = get_logger(__name__)

Handler = Callable[[Transaction, Sequence[IncomingEvent]], Awaitable[Mapping[str, Outcome]]]
Item = IncomingEvent | Unreadable

_TIMEOUTS_IN_A_ROW: Final = 3

_outcomes = counter("consumed_events_total", "Events by consumer and outcome", ["consumer", "outcome"])


class MissingOutcome(Exception):
    """The handler did not say what became of an event (S-25)."""


class TooManyParked(Exception):
    """More keys would be parked within a minute than are allowed: something is wrong with us, not with them."""


class Applier:
    """Applies batches for one consumer. Raises what is broken plumbing; then nothing of the batch counts as done."""

    def __init__(
        self,
        *,
        consumer: str,
        database: Database,
        handler: Handler,
        clock: Clock,
        parked_per_minute_max: int,
    ) -> None:
        self._consumer = consumer
        self._database = database
        self._handler = handler
        self._clock = clock
        self._parked_max = parked_per_minute_max
        self._timeouts = 0

    async def apply(self, items: Sequence[Item]) -> None:
        """Apply `items`, in offset order per key; afterwards each is claimed with its outcome, or parked."""
        if self._timeouts < _TIMEOUTS_IN_A_ROW and not any(isinstance(item, Unreadable) for item in items):
            try:
                await self._apply_at_once(items)
                self._timeouts = 0
                return
            except Exception as error:
                if is_broken_plumbing(error):
                    self._count_timeout(error)
                    raise
                log.warning(
                    "batch_rolled_back",
                    consumer=self._consumer,
                    events=len(items),
                    error=repr(error),
                )
        for of_key in _by_key(items):
            await self._apply_or_park(of_key)
        self._timeouts = 0

    async def _apply_at_once(self, items: Sequence[Item]) -> None:
        """One transaction: markers, claims, effects, outcomes; this order of locks is the same everywhere (S-4)."""
        counted = await self._database.run(lambda tx: self._fold(tx, items))
        for outcome, count in counted.items():
            _outcomes.labels(self._consumer, outcome.value).inc(count)

    async def _fold(self, tx: Transaction, items: Sequence[Item]) -> dict[Outcome, int]:
        parked = await parking.lock_markers(tx, self._consumer, ((item.topic, item.key) for item in items))
        waiting = [item for item in items if (item.topic, item.key) in parked]
        if waiting:
            await parking.park_behind(tx, self._consumer, waiting)
        free = [item for item in items if (item.topic, item.key) not in parked]
        events = [item for item in free if isinstance(item, IncomingEvent)]
        if len(events) < len(free):
            raise ValueError(next(item.reason for item in free if isinstance(item, Unreadable)))
        outcomes = await fold(tx, self._consumer, self._handler, events)
        values = list(outcomes.values())
        return {outcome: values.count(outcome) for outcome in Outcome}

    async def _apply_or_park(self, items: Sequence[Item]) -> None:
        """The events of one key: together, else one after the other up to the one that fails; from there on parked."""
        if await self._poison(items) is None:
            return
        for place in range(len(items)):
            if (reason := await self._poison(items[place : place + 1])) is not None:
                await self._park_from(items[place:], reason)
                self._timeouts = min(self._timeouts, _TIMEOUTS_IN_A_ROW)  # the next key has as many tries of its own
                return

    async def _poison(self, items: Sequence[Item]) -> str | None:
        """Why `items` of one key cannot be applied, or None if they are now."""
        try:
            await self._apply_at_once(items)
        except Exception as error:
            if is_broken_plumbing(error):
                self._count_timeout(error)
                # A key that times out again and again, even alone, is what is wrong.
                if not isinstance(error, asyncpg.QueryCanceledError) or self._timeouts < 2 * _TIMEOUTS_IN_A_ROW:
                    raise
            return f"{type(error).__name__}: {error}"
        return None

    async def _park_from(self, items: Sequence[Item], reason: str) -> None:
        first = items[0]
        log.error(
            "key_parked",
            consumer=self._consumer,
            topic=first.topic,
            key=first.key,
            offset=first.offset,
        )
        await self._database.run(lambda tx: self._park(tx, items, reason))

    async def _park(self, tx: Transaction, items: Sequence[Item], reason: str) -> None:
        """Park the key with its failing event, which is the first, and those that wait behind it."""
        first = items[0]
        others = await parking.parked_in_last_minute(tx, self._consumer, first.topic, first.key)
        if others >= self._parked_max:
            raise TooManyParked(f"{others} keys within a minute")
        await parking.park(tx, self._consumer, items, reason, self._clock.now())

    def _count_timeout(self, error: Exception) -> None:
        """57014 is plumbing, but one statement that always takes too long must not hold up everything for ever."""
        self._timeouts = self._timeouts + 1 if isinstance(error, asyncpg.QueryCanceledError) else 0


async def fold(
    tx: Transaction, consumer: str, handler: Handler, events: Sequence[IncomingEvent]
) -> Mapping[str, Outcome]:
    """Claim, let the handler apply what is fresh, record what became of it. The caller holds the markers."""
    fresh = await inbox.claim(tx, consumer, events)
    if not fresh:
        return {}
    outcomes = await handler(tx, fresh)
    if missing := {event.id for event in fresh} - outcomes.keys():
        raise MissingOutcome(", ".join(sorted(missing)))
    await inbox.record(tx, consumer, outcomes)
    return outcomes


def _by_key(items: Sequence[Item]) -> list[list[Item]]:
    """Items of each key in their order; keys by their first item."""
    keys: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        keys.setdefault((item.topic, item.key), []).append(item)
    return list(keys.values())
