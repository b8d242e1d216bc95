"""Incidents: what a person must see, opened once and closed by a match or by a decision.

Why: money or goods that do not fit are never dropped in silence, and never reported a hundred times.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import asyncpg

from services.chassis.db import Database, Transaction
from services.chassis.ids import new_id
from services.chassis.telemetry import counter

_opened = counter("incidents_opened_total", "Incidents opened, by kind", ["kind"])

# Sorted like every claim; a rival that opens the same incident is waited for and wins (F-26).
_OPEN: Final = """
INSERT INTO incidents (id, kind, subject, order_id, details, opened_at)
SELECT id, kind, subject, order_id, details::jsonb, opened_at
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
       AS incident (id, kind, subject, order_id, details, opened_at)
 ORDER BY kind, subject
ON CONFLICT (kind, subject) WHERE state = 'OPEN' DO NOTHING
RETURNING id::text
"""

_COLUMNS: Final = """
id::text, kind, subject, order_id, state, details::text, opened_at, closed_at, closed_by, resolution
"""

_MATCH: Final = f"""
UPDATE incidents SET state = 'MATCHED', closed_at = $3
 WHERE kind = $1 AND subject = ANY($2::text[]) AND state = 'OPEN'
RETURNING {_COLUMNS}
"""

_RESOLVE: Final = f"""
UPDATE incidents SET state = 'RESOLVED', closed_at = clock_timestamp(), resolution = $2, closed_by = $3
 WHERE id = $1 AND state = 'OPEN'
RETURNING {_COLUMNS}
"""

_RESOLVE_ABOUT: Final = """
UPDATE incidents SET state = 'RESOLVED', closed_at = clock_timestamp(), resolution = $3, closed_by = $4
 WHERE kind = $1 AND subject = $2 AND state = 'OPEN'
"""

_SUBJECTS: Final = "SELECT DISTINCT subject FROM incidents WHERE order_id = $1 AND kind = $2"

_LIST: Final = f"""
SELECT {_COLUMNS} FROM incidents
 WHERE state = 'OPEN' AND ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR order_id = $2)
   AND ($3::uuid IS NULL OR (opened_at, id) > (SELECT opened_at, id FROM incidents WHERE id = $3))
 ORDER BY opened_at, id LIMIT $4
"""


class IncidentState(StrEnum):
    """MATCHED: the missing part arrived by itself. RESOLVED: a person decided."""

    OPEN = "OPEN"
    MATCHED = "MATCHED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; `subject` is what it is about and unique among the open ones of its `kind`.

    `details` holds ids, states and amounts for whoever looks at it; never bodies, secrets or addresses.
    """

    kind: str
    subject: str
    opened_at: datetime
    order_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    state: IncidentState = IncidentState.OPEN
    closed_at: datetime | None = None
    closed_by: str = ""
    resolution: str = ""


async def open_incidents(tx: Transaction, incidents: Sequence[Incident]) -> list[Incident]:
    """Open those that are not open yet, and return these, in the given order; of several alike the first counts."""
    first: dict[tuple[str, str], Incident] = {}
    for incident in incidents:
        first.setdefault((incident.kind, incident.subject), incident)
    if not first:
        return []
    chosen = list(first.values())
    rows = await tx.fetch(
        _OPEN,
        [incident.id for incident in chosen],
        [incident.kind for incident in chosen],
        [incident.subject for incident in chosen],
        [incident.order_id for incident in chosen],
        [json.dumps(dict(incident.details), default=str) for incident in chosen],
        [incident.opened_at for incident in chosen],
    )
    ids = {row["id"] for row in rows}
    opened = [incident for incident in chosen if incident.id in ids]
    for incident in opened:
        _opened.labels(incident.kind).inc()
    return opened


async def match(tx: Transaction, kind: str, subjects: Sequence[str], *, now: datetime) -> list[Incident]:
    """Close the open incidents of `kind` about `subjects`, because what they missed has come; returns those closed."""
    return [_incident(row) for row in await tx.fetch(_MATCH, kind, list(subjects), now)]


async def resolve(tx: Transaction, incident_id: str, resolution: str, actor: str) -> Incident | None:
    """Close an incident by a person's decision; None if it is not open (any more)."""
    row = await tx.fetchrow(_RESOLVE, incident_id, resolution, actor)
    return _incident(row) if row else None


async def resolve_about(tx: Transaction, kind: str, subject: str, resolution: str, actor: str) -> None:
    """Close the open incident of `kind` about `subject`, if there is one."""
    await tx.execute(_RESOLVE_ABOUT, kind, subject, resolution, actor)


async def subjects_told(tx: Transaction, kind: str, order_id: str) -> set[str]:
    """What incidents of `kind` were ever opened about of an order, whatever became of them."""
    return {row["subject"] for row in await tx.fetch(_SUBJECTS, order_id, kind)}


async def list_open(
    db: Database | Transaction,
    *,
    kind: str | None = None,
    order_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Open incidents, oldest first, at most `limit`; `after` is the id of the last one already seen."""
    return [_incident(row) for row in await db.fetch(_LIST, kind, order_id, after, limit)]


def _incident(row: asyncpg.Record) -> Incident:
    values = dict(row)
    values["details"] = json.loads(values["details"])
    values["state"] = IncidentState(values["state"])
    return Incident(**values)
