"""`onefold reconcile`: the payment provider's lists against ours, now.

Why: webhooks get lost, and waiting for the next hourly run is not an answer to a customer on the telephone (R-1.18).
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from ops import access

CALL_SECONDS: Final = 600.0


def reconcile(
    hours: Annotated[float, typer.Option(help="How far back to look.", min=0.01, max=24 * 30)] = 24.0,
) -> None:
    """Fetch webhooks that never came, end payments that nobody owns; exit 1 if a person must look at something."""
    answer = access.run(_reconcile(timedelta(hours=hours)))
    typer.echo(
        f"{answer.events_recovered} events recovered, {answer.orphans_ended} orphans ended,"
        f" {answer.incidents} incidents (see `onefold incidents list`)"
    )
    raise typer.Exit(1 if answer.incidents else 0)


async def _reconcile(window: timedelta) -> service_pb2.ReconcilePaymentsResponse:
    request = service_pb2.ReconcilePaymentsRequest()
    now = datetime.now(UTC)
    getattr(request, "from").FromDatetime(now - window)
    request.until.FromDatetime(now)
    async with access.calls_to("payments") as channel:
        return await PaymentsServiceStub(channel).ReconcilePayments(request, timeout=CALL_SECONDS)
