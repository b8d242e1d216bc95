"""A request counts once: who asked what under which id, how far it got, and what was answered.

Why: a caller that got no answer repeats its call with the same id, and a crashed call is finished by whoever comes
next, from the phase that its key names (S-5).
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

import asyncpg
from google.protobuf.message import Message
from google.rpc import status_pb2

from services.chassis.db import Database, Transaction
from services.chassis.errors import DomainError, RequestIdReused, RequestInProgress, from_rpc_status, to_rpc_status
from services.chassis.ids import new_id

DONE = "DONE"
FAILED = "FAILED"
_ONCE_LEASE = timedelta(seconds=30)
M = TypeVar("M", bound=Message)

Key = tuple[str, str, str]  # caller, method, request id


class ClaimOutcome(StrEnum):
    """What a claim found."""

    FRESH = "FRESH"  # first time: the key is ours
    RESUMED = "RESUMED"  # begun before, and ours now: go on from `phase`
    REPLAY = "REPLAY"  # ended: `answer` holds the response, or the status if `phase` is FAILED
    IN_PROGRESS = "IN_PROGRESS"  # another try works on it
    BODY_DIFFERS = "BODY_DIFFERS"  # the id was used for something else


@dataclass(frozen=True, slots=True)
class Request:
    """One try of a caller's request. The same object may be claimed again: it meets its own lease."""

    caller: str
    method: str
    request_id: str
    body_hash: bytes
    subject: str  # proposed id of what it makes; the first claim's stands
    body: bytes | None = None  # kept until the end for a completer that must know it
    holder: str = field(default_factory=new_id)

    @property
    def key(self) -> Key:
        """What makes it the same request."""
        return self.caller, self.method, self.request_id


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of a request's claim."""

    request: Request
    outcome: ClaimOutcome
    subject: str
    phase: str
    fence: int
    answer: bytes | None = None
    retry_after: timedelta = timedelta()
    age: timedelta = timedelta()  # since the first claim; known to who takes over

    @property
    def key(self) -> Key:
        """The request's key."""
        return self.request.key

    @property
    def is_ours(self) -> bool:
        """Whether we are the ones to work on it."""
        return self.outcome in (ClaimOutcome.FRESH, ClaimOutcome.RESUMED)

    def refusal(self) -> DomainError | None:
        """What to answer if it is not to be worked on and has no response: reused, in progress, or failed before."""
        if self.outcome is ClaimOutcome.BODY_DIFFERS:
            return RequestIdReused(request_id=self.request.request_id)
        if self.outcome is ClaimOutcome.IN_PROGRESS:
            return RequestInProgress(self.retry_after)
        if self.outcome is ClaimOutcome.REPLAY and self.phase == FAILED:
            return from_rpc_status(status_pb2.Status.FromString(self.answer or b""))
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """A key's way from one phase to the next, by whoever holds its fence."""

    key: Key
    fence: int
    from_phase: str
    to_phase: str
    answer: bytes | None = None


async def claim(
    tx: Transaction | Database, requests: Sequence[Request], *, lease: timedelta, first_phase: str
) -> list[Claim]:
    """Claim the requests in one statement, which may be a transaction of its own; answers in their order.

    A lease that ran out is taken over, and its fence grows. Of equal keys in one call the first is claimed; the
    others are in progress.
    """
    firsts = {request.key: request for request in reversed(requests)}
    ordered = [firsts[key] for key in sorted(firsts)]  # two unsorted claims could deadlock (F-58)
    rows = await tx.fetch(
        _CLAIM,
        *_columns(r.key for r in ordered),
        [r.body_hash for r in ordered],
        [r.subject for r in ordered],
        [r.holder for r in ordered],
        [r.body for r in ordered],
        first_phase,
        lease,
    )
    found = {row[:3]: row for row in rows}
    return [
        _claim_of(request, found[request.key], firsts.pop(request.key, None) is not None, first_phase)
        for request in requests
    ]


async def advance(tx: Transaction, steps: Sequence[Step], *, lease: timedelta | None = None) -> list[bool]:
    """Move keys to their next phase in one statement; false where the fence or the phase is no longer ours.

    With `lease` the key stays ours for so long from now.
    """
    rows = await tx.fetch(
        _ADVANCE,
        *_columns(step.key for step in steps),
        [step.fence for step in steps],
        [step.from_phase for step in steps],
        [step.to_phase for step in steps],
        [step.answer for step in steps],
        lease,
    )
    moved = {(row[:3], row["fence"]) for row in rows}
    return [(step.key, step.fence) in moved for step in steps]


async def take_over(
    db: Database | Transaction, method: str, phases: Sequence[str], limit: int, *, lease: timedelta
) -> list[Claim]:
    """Unfinished requests whose lease ran out, oldest first: theirs is the taker now. For the completer."""
    rows = await db.fetch(_TAKE_OVER, method, list(phases), limit, new_id(), lease)
    return [_taken(row) for row in sorted(rows, key=lambda row: row["created_at"])]


async def purge(tx: Transaction, older_than: timedelta, limit: int) -> int:
    """Delete at most `limit` requests that ended longer ago than `older_than`; unfinished ones stay."""
    return len(await tx.fetch(_PURGE, older_than, limit))


async def once(tx: Transaction, request: Request, effect: Callable[[], Awaitable[Message]]) -> bytes:
    """For what one transaction does: claim, `effect`, DONE; the serialized response, stored or fresh.

    An error of `effect` rolls all of it back, so the request may be tried again. Raises RequestIdReused.
    """
    (claimed,) = await claim(tx, [request], lease=_ONCE_LEASE, first_phase="STARTED")
    if refusal := claimed.refusal():
        raise refusal
    if not claimed.is_ours:
        return claimed.answer or b""
    answer = bytes((await effect()).SerializeToString())
    await advance(tx, [Step(claimed.key, claimed.fence, claimed.phase, DONE, answer)])
    return answer


def body_of(message: Message) -> bytes:
    """What is asked: equal bytes for equal requests. The request id is left out; the key has it."""
    body = type(message)()
    body.CopyFrom(message)
    if "request_id" in body.DESCRIPTOR.fields_by_name:
        body.ClearField("request_id")
    return bytes(body.SerializeToString(deterministic=True))


def hash_body(body: Message | bytes) -> bytes:
    """32 bytes that are equal for equal requests, from the message or from its `body_of`."""
    return hashlib.sha256(body if isinstance(body, bytes) else body_of(body)).digest()


def failure(error: DomainError) -> bytes:
    """The answer to store with FAILED; `Claim.refusal` reads it."""
    return bytes(to_rpc_status(error).SerializeToString())


def _columns(keys: Iterable[Key]) -> Sequence[Sequence[str]]:
    return list(zip(*keys, strict=True)) or [(), (), ()]


def _claim_of(request: Request, row: asyncpg.Record, is_first: bool, first_phase: str) -> Claim:
    phase, fence = row["phase"], row["fence"]
    if row["body_hash"] != request.body_hash:
        outcome = ClaimOutcome.BODY_DIFFERS
    elif phase in (DONE, FAILED):
        outcome = ClaimOutcome.REPLAY
    elif row["holder"] != request.holder or not is_first:
        outcome = ClaimOutcome.IN_PROGRESS
    elif fence == 1 and phase == first_phase:
        outcome = ClaimOutcome.FRESH
    else:
        outcome = ClaimOutcome.RESUMED
    answer = row["answer"] if outcome is ClaimOutcome.REPLAY else None
    retry_after = max(row["lease_left"], timedelta()) if outcome is ClaimOutcome.IN_PROGRESS else timedelta()
    return Claim(request, outcome, row["subject"], phase, fence, answer, retry_after)


def _taken(row: Any) -> Claim:
    request = Request(*row[:7])
    return Claim(request, ClaimOutcome.RESUMED, row["subject"], row["phase"], row["fence"], age=row["age"])


# DO UPDATE and not DO NOTHING: it waits for a rival's commit and then returns the rival's row (F-26).
# Whoever is the holder afterwards owns the key; by a try's own id a repeated claim meets its own lease again.
# statement_timestamp(): all three columns must agree on whether the lease has run out.
_CLAIM = """
INSERT INTO idempotency_keys AS k
    (caller, method, request_id, body_hash, subject, holder, body, phase, lease_until)
SELECT caller, method, request_id, body_hash, subject, holder, body, $8, clock_timestamp() + $9
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::bytea[])
       AS r (caller, method, request_id, body_hash, subject, holder, body)
ON CONFLICT (caller, method, request_id) DO UPDATE
   SET holder = CASE WHEN k.lease_until < statement_timestamp() AND k.phase NOT IN ('DONE', 'FAILED')
                      AND k.body_hash = excluded.body_hash
                     THEN excluded.holder ELSE k.holder END,
       fence = CASE WHEN k.lease_until < statement_timestamp() AND k.phase NOT IN ('DONE', 'FAILED')
                     AND k.body_hash = excluded.body_hash AND k.holder <> excluded.holder
                    THEN k.fence + 1 ELSE k.fence END,
       lease_until = CASE WHEN k.phase NOT IN ('DONE', 'FAILED') AND k.body_hash = excluded.body_hash
                           AND (k.lease_until < statement_timestamp() OR k.holder = excluded.holder)
                          THEN excluded.lease_until ELSE k.lease_until END
RETURNING caller, method, request_id, body_hash, subject, phase, fence, holder, answer,
          lease_until - clock_timestamp() AS lease_left
"""

# The rows are locked in the order of their keys before they are changed, as in a claim (S-4). LATERAL always goes by
# the key, while a join would read the whole table as long as that looks cheap.
_ADVANCE = """
WITH steps AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[])
        AS s (caller, method, request_id, fence, from_phase, to_phase, answer)
), locked AS MATERIALIZED (
    SELECT s.* FROM (SELECT caller, method, request_id FROM steps GROUP BY caller, method, request_id
             ORDER BY caller COLLATE "C", method COLLATE "C", request_id COLLATE "C") s
     CROSS JOIN LATERAL (
        SELECT FROM idempotency_keys k
         WHERE k.caller = s.caller AND k.method = s.method AND k.request_id = s.request_id
           FOR NO KEY UPDATE) AS row
)
UPDATE idempotency_keys k
   SET phase = s.to_phase, answer = coalesce(s.answer, k.answer), updated_at = clock_timestamp(),
       body = CASE WHEN s.to_phase IN ('DONE', 'FAILED') THEN NULL ELSE k.body END,
       lease_until = coalesce(clock_timestamp() + $8, k.lease_until)
  FROM steps s JOIN locked USING (caller, method, request_id)
 WHERE (k.caller, k.method, k.request_id) = (s.caller, s.method, s.request_id)
   AND k.fence = s.fence AND k.phase = s.from_phase
RETURNING k.caller, k.method, k.request_id, k.fence
"""

# SKIP LOCKED: a try that is about to go on keeps its key. MATERIALIZED: a join might run the LIMIT again and again.
_TAKE_OVER = """
WITH late AS MATERIALIZED (
    SELECT caller, method, request_id
      FROM idempotency_keys
     WHERE method = $1 AND phase = ANY($2::text[]) AND phase NOT IN ('DONE', 'FAILED')
       AND lease_until < clock_timestamp()
     ORDER BY created_at
     LIMIT $3
       FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE idempotency_keys k
   SET fence = k.fence + 1, holder = $4, lease_until = clock_timestamp() + $5, updated_at = clock_timestamp()
  FROM late
 WHERE (k.caller, k.method, k.request_id) = (late.caller, late.method, late.request_id)
RETURNING k.caller, k.method, k.request_id, k.body_hash, k.subject, k.body, k.holder, k.phase, k.fence, k.created_at,
          clock_timestamp() - k.created_at AS age
"""

_PURGE = """
WITH old AS MATERIALIZED (
    SELECT caller, method, request_id
      FROM idempotency_keys
     WHERE phase IN ('DONE', 'FAILED') AND updated_at < clock_timestamp() - $1::interval
     ORDER BY updated_at
     LIMIT $2
       FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys k
 USING old
 WHERE (k.caller, k.method, k.request_id) = (old.caller, old.method, old.request_id)
RETURNING 1
"""
