"""`onefold replay`: stored webhooks once more, through the same intake.

Why: a webhook that could not be processed is kept as it came; when the cause is mended, nobody needs to wait for the
provider's next delivery (R-1.3). What was processed before stays a duplicate, so a replay never does harm.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from ops import access

AT_ONCE: Final = 64
BYTES_AT_ONCE: Final = 2 * 1024 * 1024  # gRPC carries 4 MiB
UNKNOWN: Final = "unknown"
CALL_SECONDS: Final = 30.0
# What never failed comes first: a thousand that always fail must not hide it.
_STORED: Final = """
SELECT source, event_id, type, raw, received_at, error FROM webhook_events
 WHERE CASE WHEN cardinality($1::text[]) = 0 THEN processed_at IS NULL ELSE event_id = ANY($1) END
 ORDER BY error <> '', received_at LIMIT $2
"""


def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="The provider's event ids; none: all that were not processed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, those that never failed first.")] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show them, and change nothing.")] = False,
) -> None:
    """Take stored payment webhooks in once more; exit 1 if one still fails."""
    outcomes: dict[str, str] = {}
    try:
        access.run(_replay(event_ids or [], limit, dry_run, outcomes))
    finally:  # an error in the middle does not undo what came before
        counts = Counter(outcomes.values())
        typer.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no such webhook is stored")
    raise typer.Exit(1 if counts["failed"] or counts[UNKNOWN] else 0)


async def _replay(event_ids: Sequence[str], limit: int, dry_run: bool, outcomes: dict[str, str]) -> None:
    """Fill `outcomes`: event id to what became of it."""
    async with access.database_of("payments") as database:
        rows = [dict(row) for row in await database.fetch(_STORED, list(event_ids), limit + 1)]
    access.admit_more(rows, limit)
    rows = rows[:limit]
    for row in rows:
        typer.echo(f"{row['received_at']:%Y-%m-%d %H:%M:%S}  {row['event_id']}  {row['type']}  {row['error']}")
    for event_id in sorted({*event_ids} - {row["event_id"] for row in rows}):
        typer.echo(f"{event_id} is not stored", err=True)
        outcomes[event_id] = UNKNOWN
    if dry_run:
        outcomes |= {row["event_id"]: "stored" for row in rows}
    elif rows:
        async with access.calls_to("payments") as channel:
            for part in parts(rows):
                outcomes |= await _take_in(PaymentsServiceStub(channel), part)


def parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The rows in their order, so many at a time that one call can carry them."""
    part: list[Mapping[str, Any]] = []
    for row in rows:
        if part and (len(part) == AT_ONCE or sum(len(each["raw"]) for each in (*part, row)) > BYTES_AT_ONCE):
            yield part
            part = []
        part.append(row)
    if part:
        yield part


async def _take_in(payments: PaymentsServiceStub, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    webhooks = [
        service_pb2.Webhook(source=row["source"], body=row["raw"], received_at=_stamp(row["received_at"]))
        for row in rows
    ]
    answer = await payments.IngestWebhooks(service_pb2.IngestWebhooksRequest(webhooks=webhooks), timeout=CALL_SECONDS)
    words = [service_pb2.WebhookOutcome.Name(result.outcome) for result in answer.results]
    return {
        row["event_id"]: word.removeprefix("WEBHOOK_OUTCOME_").lower() for row, word in zip(rows, words, strict=True)
    }


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
