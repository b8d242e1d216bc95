"""All SQL of the operations' journal.

Why: every step is one fenced statement for a set of operations, so a sender that lost its lease changes nothing any
more (S-16), and calls that begin or end together cost as much as one.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from services.chassis import jobs
from services.chassis.db import Database, Transaction
from services.chassis.operations.model import (
    PLANNED,
    WITHDRAWN,
    Operation,
    OperationState,
    PlannedOperation,
    Result,
)

_COLUMNS: Final = """
id::text, kind, subject, number, provider, request, idempotency_key, state, first_sent_at, last_sent_at, in_doubt,
lease_until, fence, tries, next_try_at, key_spent, answer::text, error_code, error, traceparent, planned_at, settled_at
"""

_PLAN: Final = """
WITH planned AS (
    INSERT INTO operations (id, kind, subject, number, provider, request, idempotency_key, planned_at, next_try_at,
                            traceparent)
    SELECT id, kind, subject, number, provider, request, idempotency_key, planned_at, planned_at, traceparent
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bytea[], $7::text[],
                  $8::timestamptz[], $9::text[])
           AS operation (id, kind, subject, number, provider, request, idempotency_key, planned_at, traceparent)
     ORDER BY id
    ON CONFLICT (id) DO NOTHING
)
SELECT pg_notify($10, $11) WHERE $12
"""

# Only what was surely never executed and is not being sent: planned, or refused with a time to come again (429).
_WITHDRAW: Final = f"""
UPDATE operations SET state = 'FAILED', error_code = $2, settled_at = $3
 WHERE id = ANY($1::uuid[]) AND settled_at IS NULL AND NOT in_doubt
RETURNING {_COLUMNS}
"""

_ASKED_AGAIN: Final = """
SELECT o.kind, o.subject FROM operations o
  JOIN unnest($1::text[], $2::text[]) AS ended (kind, subject) USING (kind, subject)
 WHERE o.settled_at IS NULL
"""

_GET: Final = f"SELECT {_COLUMNS} FROM operations WHERE id = $1"

_LIST: Final = f"""
SELECT {_COLUMNS} FROM operations
 WHERE subject = $1 AND ($2::text[] IS NULL OR kind = ANY($2)) ORDER BY kind, number LIMIT $3
"""

_DUE: Final = """
SELECT id::text FROM operations
 WHERE settled_at IS NULL AND next_try_at <= $1 AND kind = ANY($2::text[])
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
 ORDER BY next_try_at LIMIT $3
"""

# Whoever takes over waits the former sender's lease out: there is no row to take before (S-16).
_FREE: Final = "settled_at IS NULL AND (lease_until IS NULL OR lease_until <= clock_timestamp())"

_TAKE: Final = f"""
UPDATE operations SET fence = fence + 1, lease_until = clock_timestamp() + $2 WHERE id = $1 AND {_FREE}
RETURNING {_COLUMNS}
"""

# What is in doubt, or was first sent before $4, is taken to be looked up; all else is marked SENT at once. A row that
# somebody else is just changing is theirs: nobody waits here, so that two sets of operations cannot block each other.
_CLAIM: Final = f"""
WITH free AS (
    SELECT id AS free_id, NOT in_doubt AND (first_sent_at IS NULL OR first_sent_at > $4) AS sends
      FROM operations WHERE id = ANY($1::uuid[]) AND {_FREE}
     ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE operations
   SET fence = fence + 1, lease_until = clock_timestamp() + $2,
       state = CASE WHEN sends THEN 'SENT' ELSE state END, in_doubt = in_doubt OR sends, tries = tries + sends::int,
       first_sent_at = CASE WHEN sends THEN coalesce(first_sent_at, $3) ELSE first_sent_at END,
       last_sent_at = CASE WHEN sends THEN $3 ELSE last_sent_at END
  FROM free WHERE id = free_id AND id = ANY($1::uuid[])
RETURNING {_COLUMNS}, sends
"""

_MARK_SENT: Final = f"""
UPDATE operations
   SET state = 'SENT', in_doubt = true, tries = tries + 1, first_sent_at = coalesce(first_sent_at, $3),
       last_sent_at = $3, lease_until = clock_timestamp() + $4
 WHERE id = $1 AND fence = $2 AND settled_at IS NULL
RETURNING {_COLUMNS}
"""

_POSTPONE: Final = """
UPDATE operations
   SET state = $3, next_try_at = $4, error = $5, key_spent = key_spent OR $6,
       in_doubt = $7, lease_until = CASE WHEN $8 THEN NULL ELSE lease_until END
 WHERE id = $1 AND fence = $2 AND settled_at IS NULL
RETURNING id::text
"""

_SETTLE: Final = f"""
UPDATE operations
   SET state = end_state, answer = end_answer::jsonb, error_code = end_code, error = end_error, settled_at = $7,
       lease_until = NULL
  FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
       AS ended (end_id, end_fence, end_state, end_answer, end_code, end_error)
 WHERE id = end_id AND id = ANY($1::uuid[]) AND fence = end_fence AND settled_at IS NULL
RETURNING {_COLUMNS}
"""


async def plan(tx: Transaction, operations: Sequence[PlannedOperation], *, wakes: bool = False) -> None:
    """Write operations down before anything is sent; one that was planned already stays as it was.

    `wakes` tells the job that carries operations once this transaction has committed (see `jobs.wake`).
    """
    if not operations:
        return
    await tx.execute(
        _PLAN,
        [operation.id for operation in operations],
        [operation.kind for operation in operations],
        [operation.subject for operation in operations],
        [operation.number for operation in operations],
        [operation.provider for operation in operations],
        [operation.request for operation in operations],
        [operation.idempotency_key or operation.id for operation in operations],
        [operation.planned_at for operation in operations],
        [operation.traceparent for operation in operations],
        jobs.CHANNEL,
        PLANNED,
        wakes,
    )


async def withdraw(tx: Transaction, operation_ids: Sequence[str], now: datetime) -> list[Operation]:
    """Take back those that were surely never executed, and return them."""
    return [_operation(row) for row in await tx.fetch(_WITHDRAW, sorted(operation_ids), WITHDRAWN, now)]


async def asked_again(tx: Transaction, ended: Sequence[Operation]) -> set[tuple[str, str]]:
    """Kind and subject of those for which another operation is open."""
    kinds, subjects = [operation.kind for operation in ended], [operation.subject for operation in ended]
    return {(row["kind"], row["subject"]) for row in await tx.fetch(_ASKED_AGAIN, kinds, subjects)}


async def get_operation(db: Database | Transaction, operation_id: str) -> Operation | None:
    """One operation, or None."""
    row = await db.fetchrow(_GET, operation_id)
    return _operation(row) if row else None


async def list_operations(
    db: Database | Transaction,
    subject: str,
    kinds: Sequence[str] | None = None,
    *,
    limit: int = 100,
) -> list[Operation]:
    """Operations of one subject by kind and number, at most `limit`."""
    rows = await db.fetch(_LIST, subject, list(kinds) if kinds is not None else None, limit)
    return [_operation(row) for row in rows]


async def due(db: Database, kinds: Sequence[str], now: datetime, limit: int) -> list[str]:
    """Ids of open operations whose time has come and that nobody holds, oldest first; takes no lock."""
    return [row["id"] for row in await db.fetch(_DUE, now, list(kinds), limit)]


async def take(tx: Transaction, operation_id: str, lease: timedelta) -> Operation | None:
    """Take the lease of an open operation; None while somebody else has it, or when it is settled."""
    row = await tx.fetchrow(_TAKE, operation_id, lease)
    return _operation(row) if row else None


async def claim(
    db: Database, operation_ids: Sequence[str], lease: timedelta, now: datetime, resend_after: datetime
) -> dict[str, tuple[Operation, bool]]:
    """Take the leases of those that are open and free; with each, whether it was marked SENT and is to be sent.

    The others are to be looked up first: they are in doubt, or were first sent before `resend_after`.
    """
    rows = await db.fetch(_CLAIM, sorted(operation_ids), lease, now, resend_after)
    claimed = {}
    for row in rows:
        values = dict(row)
        sends = values.pop("sends")
        claimed[row["id"]] = _operation(values), sends
    return claimed


async def mark_sent(tx: Transaction, operation: Operation, now: datetime, lease: timedelta) -> Operation | None:
    """The last step before sending, with a full lease from now; None if the lease was lost."""
    row = await tx.fetchrow(_MARK_SENT, operation.id, operation.fence, now, lease)
    return _operation(row) if row else None


async def postpone(
    tx: Transaction,
    operation: Operation,
    state: OperationState,
    next_try_at: datetime,
    error: str,
    *,
    in_doubt: bool,
    release: bool,
    key_spent: bool = False,
) -> bool:
    """Try again later; False if the lease was lost.

    `release` ends the lease at once: only where nothing of this try can still be on its way.
    """
    row = await tx.fetchrow(
        _POSTPONE,
        operation.id,
        operation.fence,
        state.value,
        next_try_at,
        error[:2000],
        key_spent,
        in_doubt,
        release,
    )
    return row is not None


async def settle(tx: Transaction, ended: Sequence[tuple[Operation, Result]], now: datetime) -> list[Operation]:
    """Store outcomes; returns those that were. Of the others another holder came first, and nothing may be done."""
    rows = await tx.fetch(
        _SETTLE,
        [operation.id for operation, _ in ended],
        [operation.fence for operation, _ in ended],
        [result.state.value for _, result in ended],
        [json.dumps(dict(result.answer), default=str) if result.answer is not None else None for _, result in ended],
        [result.error_code for _, result in ended],
        [result.error[:2000] for _, result in ended],
        now,
    )
    return [_operation(row) for row in rows]


def _operation(row: asyncpg.Record | Mapping[str, Any]) -> Operation:
    values = dict(row)
    values["state"] = OperationState(values["state"])
    values["answer"] = json.loads(values["answer"]) if values["answer"] is not None else None
    return Operation(**values)
