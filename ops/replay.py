"""`onefold replay`: stored webhooks once more, through the same intake.

Why: a webhook that could not be processed is kept as it came; when the cause is mended, nobody needs to wait for the
provider's next delivery (R-1.3). What was processed before stays a duplicate, so a replay never does harm.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from ops import access

AT_ONCE: Final = 64
CALL_SECONDS: Final = 30.0
_STORED: Final = """
SELECT source, event_id, type, raw, received_at, error FROM webhook_events
 WHERE CASE WHEN cardinality($1::text[]) = 0 THEN processed_at IS NULL ELSE event_id = ANY($1) END
 ORDER BY received_at LIMIT $2
"""


def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="The provider's event ids; none: all that were not processed.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the oldest first.")] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show them, and change nothing.")] = False,
) -> None:
    """Take stored payment webhooks in once more; exit 1 if one still fails."""
    outcomes = access.run(_replay(event_ids or [], limit, dry_run))
    counts = Counter(outcomes.values())
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no such webhook is stored")
    raise typer.Exit(1 if counts["failed"] else 0)


async def _replay(event_ids: Sequence[str], limit: int, dry_run: bool) -> dict[str, str]:
    """Event id to what became of it."""
    async with access.database_of("payments") as database:
        rows = await database.fetch(_STORED, list(event_ids), limit)
    for row in rows:
        typer.echo(f"{row['received_at']:%Y-%m-%d %H:%M:%S}  {row['event_id']}  {row['type']}  {row['error']}")
    if dry_run or not rows:
        return {row["event_id"]: "stored" for row in rows}
    outcomes: dict[str, str] = {}
    async with access.calls_to("payments") as channel:
        payments = PaymentsServiceStub(channel)
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            webhooks = [
                service_pb2.Webhook(source=row["source"], body=row["raw"], received_at=_stamp(row["received_at"]))
                for row in part
            ]
            answer = await payments.IngestWebhooks(
                service_pb2.IngestWebhooksRequest(webhooks=webhooks), timeout=CALL_SECONDS
            )
            for row, result in zip(part, answer.results, strict=True):
                word = service_pb2.WebhookOutcome.Name(result.outcome).removeprefix("WEBHOOK_OUTCOME_")
                outcomes[row["event_id"]] = word.lower()
    return outcomes


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
