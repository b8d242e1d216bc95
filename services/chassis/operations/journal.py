"""All SQL of the operations' journal.

Why: every step is one fenced statement, so a sender that lost its lease changes nothing any more (S-16).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from services.chassis.db import Database, Transaction
from services.chassis.operations.model import (
    WITHDRAWN,
    Operation,
    OperationState,
    PlannedOperation,
)
from services.chassis.telemetry import current_traceparent

_COLUMNS: Final = """
id::text, kind, subject, number, provider, request, idempotency_key, state, first_sent_at, last_sent_at, in_doubt,
lease_until, fence, tries, next_try_at, key_spent, answer::text, error_code, error, traceparent, planned_at, settled_at
"""

_PLAN: Final = """
INSERT INTO operations (id, kind, subject, number, provider, request, idempotency_key, planned_at, next_try_at,
                        traceparent)
SELECT id, kind, subject, number, provider, request, idempotency_key, planned_at, planned_at, $9
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bytea[], $7::text[], $8::timestamptz[])
       AS operation (id, kind, subject, number, provider, request, idempotency_key, planned_at)
 ORDER BY id
ON CONFLICT (id) DO NOTHING
"""

# Only what was never sent: an operation that was sent once, though in vain, is not taken back.
_WITHDRAW: Final = """
UPDATE operations SET state = 'FAILED', error_code = $2, settled_at = $3
 WHERE id = ANY($1::uuid[]) AND state = 'PLANNED'
RETURNING id::text
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
_TAKE: Final = f"""
UPDATE operations SET fence = fence + 1, lease_until = clock_timestamp() + $2
 WHERE id = $1 AND settled_at IS NULL AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING {_COLUMNS}
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
"""

_SETTLE: Final = f"""
UPDATE operations
   SET state = $3, answer = $4::jsonb, error_code = $5, error = $6, settled_at = $7, lease_until = NULL
 WHERE id = $1 AND fence = $2 AND settled_at IS NULL
RETURNING {_COLUMNS}
"""


async def plan(tx: Transaction, operations: Sequence[PlannedOperation]) -> None:
    """Write operations down before anything is sent; one that was planned already stays as it was."""
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
        current_traceparent(),
    )


async def withdraw(tx: Transaction, operation_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Take back those that were never sent; returns their ids. The others must be waited for."""
    rows = await tx.fetch(_WITHDRAW, sorted(operation_ids), WITHDRAWN, now)
    return {row["id"] for row in rows}


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
) -> None:
    """Try again later. `release` ends the lease at once: only where nothing of this try can still be on its way."""
    await tx.execute(
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


async def settle(
    tx: Transaction,
    operation: Operation,
    state: OperationState,
    now: datetime,
    *,
    answer: Mapping[str, Any] | None = None,
    error_code: str = "",
    error: str = "",
) -> Operation | None:
    """Store the outcome; None if another holder came first, and then nothing may be done with it."""
    stored = json.dumps(dict(answer), default=str) if answer is not None else None
    row = await tx.fetchrow(
        _SETTLE,
        operation.id,
        operation.fence,
        state.value,
        stored,
        error_code,
        error[:2000],
        now,
    )
    return _operation(row) if row else None


def _operation(row: asyncpg.Record) -> Operation:
    values = dict(row)
    values["state"] = OperationState(values["state"])
    values["answer"] = json.loads(values["answer"]) if values["answer"] is not None else None
    return Operation(**values)
