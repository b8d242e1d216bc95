"""Redrive: applies the events of a parked key, in order, until nothing is left.

Why: it holds the key's marker from the first event to the deletion of the marker, so nothing slips in between (S-27).
"""

from dataclasses import dataclass

from services.chassis.consumer import parked, parking
from services.chassis.consumer.apply import Handler, fold
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.inbox import IncomingEvent, Outcome

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did, or with `dry_run` would do: outcomes by event id, and how many had been claimed before.

    `parked` is False if the key was not parked (any more); `failure` says why nothing was changed.
    """

    parked: bool
    outcomes: dict[str, Outcome]
    duplicates: int
    dry_run: bool
    failure: str = ""


class UnreadableEvent(Exception):
    """An event without readable headers is in the way; a person can only discard it."""


class _Undo(Exception):
    """Rolls the transaction back."""


async def redrive(
    db: Database,
    consumer: str,
    topic: str,
    key: str,
    handler: Handler,
    *,
    dry_run: bool = False,
    actor: str = "operator",
) -> Redriven:
    """Apply all that waits behind (topic, key) and delete the marker, in one transaction, or change nothing."""
    outcomes: dict[str, Outcome] = {}
    duplicates = 0
    was_parked = False

    async def body(tx: Transaction) -> None:
        nonlocal duplicates, was_parked
        outcomes.clear()
        duplicates = 0
        was_parked = bool(await parking.lock_markers(tx, consumer, [(topic, key)]))
        if not was_parked:
            return
        while waiting := await parked.inspect(tx, consumer, topic, key, limit=_AT_ONCE):
            events = [_event(one) for one in waiting]
            applied = await fold(tx, consumer, handler, events)
            outcomes.update(applied)
            duplicates += len(events) - len(applied)
            await parked.remove(
                tx,
                consumer,
                topic,
                key,
                [(one.partition, one.offset) for one in waiting],
            )
        await parked.unmark(tx, consumer, topic, key, actor=actor, resolution="redriven")
        if dry_run:
            raise _Undo

    failure = ""
    try:
        await db.run(body)
    except _Undo:
        pass
    except Exception as error:
        if is_broken_plumbing(error):
            raise
        failure = f"{type(error).__name__}: {error}"
        outcomes.clear()
    return Redriven(was_parked, dict(outcomes), duplicates, dry_run, failure)


def _event(waiting: parked.ParkedEvent) -> IncomingEvent:
    if waiting.event is None:
        raise UnreadableEvent(f"partition {waiting.partition} offset {waiting.offset}: {waiting.reason}")
    return waiting.event
