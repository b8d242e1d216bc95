"""Laws about time: nothing is under way for longer than it may be; somebody must look at what is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import DATABASES, Sources

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
MINUTES: Final = timedelta(minutes=10)

_OPERATIONS: Final = """
SELECT id::text AS id, subject, kind || ' is ' || state || ' after ' || tries || ' tries, planned at '
       || to_char(planned_at, 'YYYY-MM-DD HH24:MI:SS') AS problem
  FROM operations WHERE settled_at IS NULL AND planned_at < now() - $1::interval ORDER BY planned_at
"""
_REQUESTS: Final = """
SELECT caller || '/' || method || '/' || request_id AS id, subject, 'is at ' || phase || ' since '
       || to_char(created_at, 'YYYY-MM-DD HH24:MI:SS') AS problem
  FROM idempotency_keys WHERE phase NOT IN ('DONE', 'FAILED') AND created_at < now() - $1::interval ORDER BY created_at
"""
_PARKED: Final = """
SELECT consumer || '/' || topic AS id, key AS subject, 'is parked since '
       || to_char(parked_at, 'YYYY-MM-DD HH24:MI:SS') || ': ' || reason AS problem
  FROM parked_keys WHERE parked_at < now() - $1::interval ORDER BY parked_at
"""
# Every service has jobs that run every few seconds; the newest lease tells whether anybody runs them. A service without
# any lease that has read events for a day never had them run.
_JOBS: Final = """
SELECT 'jobs' AS id, '' AS subject,
       'nobody ' || coalesce('runs them since ' || to_char(max(lease_until), 'YYYY-MM-DD HH24:MI:SS'), 'ever ran them')
       AS problem
  FROM job_leases HAVING max(lease_until) < now() - $1::interval
      OR (count(*) = 0 AND EXISTS (SELECT FROM inbox WHERE claimed_at < now() - interval '1 day'))
"""
_ORDERS_CANCELLING: Final = """
SELECT order_id::text AS id, number AS subject, 'its cancellation is ' || cancellation || ' (' || cancellation_reason
       || ') since ' || to_char(asked_at, 'YYYY-MM-DD HH24:MI:SS') AS problem
  FROM orders, LATERAL (
       SELECT coalesce((cancellation_answers ->> 'asked_at')::timestamptz, updated_at) AS asked_at) AS cancelling
 WHERE cancellation IN ('PROPOSED', 'REQUESTED') AND asked_at < now() - $1::interval ORDER BY asked_at
"""
_ORDERS_DUE: Final = """
SELECT order_id::text AS id, number AS subject, 'is ' || state || ', and something was due at '
       || to_char(due_at, 'YYYY-MM-DD HH24:MI:SS') AS problem
  FROM orders WHERE due_at < now() - $1::interval ORDER BY due_at
"""
_PAYMENTS_CANCELLING: Final = """
SELECT id, order_id::text AS subject, 'is not settled since ' || to_char(requested_at, 'YYYY-MM-DD HH24:MI:SS')
       AS problem
  FROM cancellations WHERE NOT settled AND requested_at < now() - $1::interval ORDER BY requested_at
"""
_WEBHOOKS_PAYMENTS: Final = """
SELECT event_id AS id, type AS subject, 'is not processed since ' || to_char(received_at, 'YYYY-MM-DD HH24:MI:SS')
       || CASE WHEN error = '' THEN '' ELSE ': ' || error END AS problem
  FROM webhook_events WHERE processed_at IS NULL AND received_at < now() - $1::interval ORDER BY received_at
"""
_WEBHOOKS_FULFILLMENT: Final = """
SELECT object_id AS id, type AS subject, 'is not processed since ' || to_char(received_at, 'YYYY-MM-DD HH24:MI:SS')
       AS problem
  FROM webhooks WHERE processed_at IS NULL AND received_at < now() - $1::interval ORDER BY received_at
"""
_FULFILLMENTS: Final = """
SELECT order_id::text AS id, state AS subject, 'has waited since ' || to_char(created_at, 'YYYY-MM-DD HH24:MI:SS')
       || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END AS problem
  FROM fulfillments
 WHERE state IN ('QUEUED', 'SUBMITTING', 'CANCELLING', 'FAILED') AND round > 0 AND created_at < now() - $1::interval
 ORDER BY created_at
"""
_MAILS: Final = """
SELECT event_id::text AS id, kind AS subject,
       'is ' || state || ' after ' || tries || ' tries: ' || last_error AS problem
  FROM mails
 WHERE state = 'PARKED' OR (settled_at IS NULL AND occurred_at < now() - $1::interval) ORDER BY position
"""


@law("payments", "fulfillment")
async def operations_are_settled(sources: Sources) -> Found:
    """Every call to a provider has an outcome within a day (S-15)."""
    return await _each(sources, ("payments", "fulfillment"), _OPERATIONS, DAY)


@law("orders", "inventory", "payments", "fulfillment")
async def requests_are_finished(sources: Sources) -> Found:
    """Every request is finished, by its caller or by the completer, within an hour (S-5)."""
    return await _each(sources, ("orders", "inventory", "payments", "fulfillment"), _REQUESTS, HOUR)


@law(*DATABASES)
async def keys_are_not_parked(sources: Sources) -> Found:
    """No key is parked for longer than an hour (S-27)."""
    return await _each(sources, DATABASES, _PARKED, HOUR)


@law(*DATABASES)
async def jobs_are_run(sources: Sources) -> Found:
    """Somebody runs the jobs of every service."""
    return await _each(sources, DATABASES, _JOBS, MINUTES, at_least=MINUTES)


@law("orders", "payments")
async def cancellations_are_answered(sources: Sources) -> Found:
    """Every cancellation is answered within a day (S-8, S-9)."""
    return [
        *await _each(sources, ("orders",), _ORDERS_CANCELLING, DAY),
        *await _each(sources, ("payments",), _PAYMENTS_CANCELLING, DAY),
    ]


@law("orders")
async def deadlines_are_kept(sources: Sources) -> Found:
    """What time asks of an order is done within ten minutes (R-2.12)."""
    return await _each(sources, ("orders",), _ORDERS_DUE, MINUTES)


@law("payments", "fulfillment")
async def webhooks_are_processed(sources: Sources) -> Found:
    """Every stored webhook is processed within an hour (S-12, S-22)."""
    return [
        *await _each(sources, ("payments",), _WEBHOOKS_PAYMENTS, HOUR),
        *await _each(sources, ("fulfillment",), _WEBHOOKS_FULFILLMENT, HOUR),
    ]


@law("fulfillment")
async def fulfillments_go_on(sources: Sources) -> Found:
    """Every fulfilment is submitted, or waits for a person, within a day (R-4.7)."""
    return await _each(sources, ("fulfillment",), _FULFILLMENTS, DAY)


@law("emails")
async def mails_are_sent(sources: Sources) -> Found:
    """Every planned mail is sent within a day."""
    return await _each(sources, ("emails",), _MAILS, DAY)


async def _each(
    sources: Sources, databases: Sequence[str], sql: str, usual: timedelta, *, at_least: timedelta = timedelta()
) -> list[tuple[str, str]]:
    """Rows (id, subject, problem) of several databases that are older than the limit."""
    limit = max(sources.older_than(usual), at_least)
    return [
        (" ".join(filter(None, (name, row["id"], row["subject"]))), row["problem"])
        for name in databases
        for row in await sources.rows(name, sql, limit)
    ]
