"""`onefold refunds`: refunds that failed, and another try.

Why: a refund fails for reasons that only a person can mend (a closed account, an empty balance); afterwards nothing but
this should be needed to give the customer what is owed.
"""

from functools import partial
from typing import Annotated

import typer

from ops import access, incidents
from services.chassis.clock import SystemClock
from services.chassis.errors import DomainError
from services.chassis.incidents import list_open
from services.orders.config import OrdersSettings
from services.orders.usecases import refunds as owing
from services.orders.usecases.refunds import Owed

app = typer.Typer(help="List refunds that failed and are still due, and try them again.", no_args_is_help=True)


@app.command("list")
def list_owed(limit: Annotated[int, typer.Option(min=1, help="Most refunds.")] = 100) -> None:
    """Refunds that failed and are still due, less what was given back at the provider since; minor units."""
    found = access.run(_list(limit))
    for each in found:
        typer.echo(f"{each.number}  {each.refund_id}  {each.amount.amount_minor} {each.amount.currency}")
    if not found:
        typer.echo("no refund is due that failed")


@app.command()
def retry(
    refund_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    actor: Annotated[str, typer.Option(help="Who decided.")],
) -> None:
    """Ask the payment provider again for what is still due of it; its incidents are closed. Exit 1 if nothing is."""
    refusal = access.run(_retry(refund_id, actor))
    if refusal is not None:
        typer.echo(f"{refund_id}: {refusal}")
        raise typer.Exit(1)
    typer.echo(f"{refund_id} is asked for again")


async def _list(limit: int) -> list[Owed]:
    async with access.database_of("orders") as database:
        return await owing.list_owed(database, limit)


async def _retry(refund_id: str, actor: str) -> DomainError | None:
    order_id = refund_id.partition(":")[0]
    settings = access.settings_of("orders")
    assert isinstance(settings, OrdersSettings)
    now = SystemClock().now()
    async with access.database_of("orders") as database:
        refusal = await database.run(
            lambda tx: owing.retry_refund(tx, order_id, refund_id, actor, now, settings.policies)
        )
    if refusal is None and "payments" in access.chosen(""):
        await _close_at_payments(order_id, refund_id, actor)
    return refusal


async def _close_at_payments(order_id: str, refund_id: str, actor: str) -> None:
    """Payments raised an incident of its own; a new failure opens that of orders again in any case."""
    async with access.database_of("payments") as database:
        for incident in await list_open(database, kind=owing.INCIDENT, order_id=order_id):
            if incident.subject == refund_id:
                await database.run(partial(incidents.close, "payments", incident.id, "asked for again", actor))
