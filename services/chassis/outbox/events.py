"""Events on their way out: made by a use case, appended in its transaction.

Why: positions are drawn under the lock of the event's root, so the order of positions is the order of facts (F-22).
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from google.protobuf.message import Message

from services.chassis.db import Transaction
from services.chassis.ids import new_id
from services.chassis.telemetry import current_traceparent

CHANNEL: Final = "outbox"
NOTIFY_PAUSE_S: Final = 0.005
NOTIFY_SOONEST_S: Final = 0.001

# ORDER BY place: the identity is drawn after sorting, so positions follow the order of the call. The advisory lock says
# that another transaction is about to notify and has not committed yet.
_APPEND = """
WITH appended AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent)
    SELECT id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::text[])
           WITH ORDINALITY AS event (id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent, place)
     ORDER BY place
)
SELECT pg_notify($8, '')
 WHERE CASE WHEN NOT $9 THEN false WHEN pg_try_advisory_xact_lock(hashtext($8)) THEN true ELSE $10 END
"""


class OutgoingEvent(NamedTuple):
    """One event: `type` is the full protobuf name, `key` the Kafka key, `payload` the serialized message."""

    id: str
    type: str
    key: str
    payload: bytes
    occurred_at: datetime
    traceparent: str


def outgoing(message: Message, *, key: str, now: datetime) -> OutgoingEvent:
    """The event that says `message`; its id is made here, once, and never on publish."""
    return OutgoingEvent(
        id=new_id(),
        type=message.DESCRIPTOR.full_name,
        key=key,
        payload=message.SerializeToString(deterministic=True),
        occurred_at=now,
        traceparent=current_traceparent(),
    )


async def append(tx: Transaction, events: Sequence[OutgoingEvent]) -> None:
    """Insert `events` in their order, in one statement; call it after the root's lock was taken (S-3)."""
    if not events:
        return
    ids, types, keys, payloads, moments, traceparents = zip(*events, strict=True)
    packages = [each.rpartition(".")[0] for each in types]
    await tx.execute(_APPEND, ids, packages, keys, types, payloads, moments, traceparents, CHANNEL, *_throttle.due())


class Throttle:
    """Who may notify: each NOTIFY takes one global lock until its commit is on the disk (F-29).

    Every few milliseconds a process may in any case. In between, a millisecond apart, it may while nobody else is at
    it: then nobody waits for that lock, however slow the disk is. A relay that was woken looks again for a while, so an
    event whose notification was saved is not left lying.
    """

    def __init__(self, time_s: Callable[[], float] = time.monotonic) -> None:
        self._time_s = time_s
        self._next = self._next_in_any_case = 0.0

    def due(self) -> tuple[bool, bool]:
        """Whether this append may notify if no other transaction is about to, and whether it may in any case."""
        now = self._time_s()
        if now < self._next:
            return False, False
        self._next = now + NOTIFY_SOONEST_S
        in_any_case = now >= self._next_in_any_case
        if in_any_case:
            self._next_in_any_case = now + NOTIFY_PAUSE_S
        return True, in_any_case


_throttle = Throttle()
