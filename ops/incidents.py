"""`onefold incidents`: what a person must see, over all services.

Why: money and goods that do not fit stay on this list until somebody says what was done about them.
"""

from functools import partial
from typing import Annotated, Final

import typer

from ops import access
from services.chassis import outbox
from services.chassis.clock import SystemClock
from services.chassis.db import Transaction
from services.chassis.incidents import Incident, list_open, resolve

app = typer.Typer(no_args_is_help=True)
_ANNOUNCED: Final = "SELECT EXISTS (SELECT FROM raised_incidents WHERE incident_id = $1)"


@app.callback()
def incidents() -> None:
    """Show what a person must see, and say what was done about it."""


@app.command("list")
def list_incidents(
    service: Annotated[str, typer.Argument(help="Only this service's, such as `payments`.")] = "",
    order: Annotated[str, typer.Option(help="Only those about this order id.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most incidents.")] = 100,
) -> None:
    """Show open incidents, the oldest first."""
    found = access.run(_list(service, order, limit + 1))
    for name, incident in found[:limit]:
        about = f" order {incident.order_id}" if incident.order_id not in ("", incident.subject) else ""
        typer.echo(f"{incident.opened_at:%Y-%m-%d %H:%M:%S}  {incident.id}  {name} {incident.kind}")
        typer.echo(f"    {incident.subject}{about}  {dict(incident.details)}")
    if not found:
        typer.echo("no open incidents")
    access.admit_more(found, limit)
    access.admit_unseen(service)


@app.command("resolve")
def resolve_incident(
    incident_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    resolution: Annotated[str, typer.Option(help="What was done about it.")],
    actor: Annotated[str, typer.Option(help="Who decided.")],
) -> None:
    """Close an incident by a person's decision."""
    service = access.run(_resolve(incident_id, resolution, actor))
    if not service:
        typer.echo(f"{incident_id} is not open")
        access.admit_unseen("")
        raise typer.Exit(1)
    typer.echo(f"{incident_id} of {service} is resolved")


async def _list(service: str, order: str, limit: int) -> list[tuple[str, Incident]]:
    found: list[tuple[str, Incident]] = []
    for name in access.chosen(service):
        async with access.database_of(name) as database:
            found += [(name, incident) for incident in await list_open(database, order_id=order or None, limit=limit)]
    return sorted(found, key=lambda pair: pair[1].opened_at)


async def _resolve(incident_id: str, resolution: str, actor: str) -> str:
    for name in access.chosen(""):
        async with access.database_of(name) as database:
            if await database.run(partial(close, name, incident_id, resolution, actor)):
                return name
    return ""


async def close(service: str, incident_id: str, resolution: str, actor: str, tx: Transaction) -> bool:
    """Close it; whoever was told of it by an event is told of its end by another, in the same transaction."""
    incident = await resolve(tx, incident_id, resolution, actor)
    if incident is not None and service == "payments" and await tx.fetchval(_ANNOUNCED, incident_id):
        from services.payments.published import incident_resolved

        now = SystemClock().now()
        await outbox.append(tx, [incident_resolved(incident, incident.order_id, resolution, now)])
    return incident is not None
