"""Events on their way out: made by a use case, appended in its transaction.

Why: positions are drawn under the lock of the event's root, so the order of positions is the order of facts (F-22).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.message import Message

from services.chassis.db import Transaction
from services.chassis.ids import new_id
from services.chassis.telemetry import current_traceparent

CHANNEL: Final = "outbox"
NOTIFY_PAUSE_S: Final = 0.005

# ORDER BY place: the identity is drawn after sorting, so positions follow the order of the call.
_APPEND = """
WITH appended AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent)
    SELECT id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::text[])
           WITH ORDINALITY AS event (id, aggregatetype, aggregateid, type, payload, occurred_at, traceparent, place)
     ORDER BY place
)
SELECT pg_notify($8, '') WHERE $9
"""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
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
    await tx.execute(
        _APPEND,
        [event.id for event in events],
        [event.type.rpartition(".")[0] for event in events],
        [event.key for event in events],
        [event.type for event in events],
        [event.payload for event in events],
        [event.occurred_at for event in events],
        [event.traceparent for event in events],
        CHANNEL,
        _throttle.due(),
    )


class Throttle:
    """Says yes at most every few milliseconds per process: each NOTIFY takes one global lock at commit (F-29).

    A relay that was woken looks again for a while, so an event whose notification was saved is not left lying.
    """

    def __init__(self, time_s: Callable[[], float] = time.monotonic) -> None:
        self._time_s = time_s
        self._next = 0.0

    def due(self) -> bool:
        """Whether this append may notify."""
        now = self._time_s()
        if now < self._next:
            return False
        self._next = now + NOTIFY_PAUSE_S
        return True


_throttle = Throttle()
