"""`onefold parked`: keys whose events wait, because one of them could not be applied.

Why: a poison event holds up its own key only, but it holds it up until a person has looked (R-5.6, S-27).
"""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from ops import access
from services.chassis.consumer import ParkedEvent, ParkedKey, Redriven, discard, inspect, list_parked, redrive

app = typer.Typer(no_args_is_help=True)
PAGE: Final = 256
Consumer = Annotated[str, typer.Argument(help="Who parked it, such as `payments`.")]
Topic = Annotated[str, typer.Argument(help="Such as onefold.orders.v1.")]
Key = Annotated[str, typer.Argument(help="An order id, or a SKU for levels.")]


@app.callback()
def parked() -> None:
    """Show keys whose events wait, and let them go on."""


@app.command("list")
def list_keys(
    consumer: Annotated[str, typer.Argument(help="Only this consumer's, such as `payments`.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most keys.")] = 100,
) -> None:
    """Show parked keys, the oldest first."""
    keys = access.run(_list(consumer, limit + 1))
    for key in keys[:limit]:
        typer.echo(f"{key.parked_at:%Y-%m-%d %H:%M:%S}  {key.consumer} {key.topic} {key.key}  {key.events} waiting")
        typer.echo(f"    {key.reason}")
    if not keys:
        typer.echo("nothing is parked")
    access.admit_more(keys, limit)
    access.admit_unseen(consumer)


@app.command("inspect")
def inspect_key(consumer: Consumer, topic: Topic, key: Key) -> None:
    """Show the events that wait behind a key, in their order."""
    for event in access.run(_inspect(consumer, topic, key)):
        typer.echo(f"{event.partition}/{event.offset}  {event.type}  {len(event.payload)} bytes")
        if event.reason:
            typer.echo(f"    {event.reason}")


@app.command("redrive")
def redrive_key(
    consumer: Consumer,
    topic: Topic,
    key: Key,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
) -> None:
    """Apply all events of a key in their order, or change nothing; exit 1 if one of them still fails."""
    done = access.run(_redrive(consumer, topic, key, dry_run))
    if not done.parked:
        typer.echo("this key is not parked")
        raise typer.Exit(1)
    if done.failure:
        typer.echo(f"nothing was changed: {done.failure}")
        raise typer.Exit(1)
    for event_id, outcome in done.outcomes.items():
        typer.echo(f"{event_id}  {outcome}")
    word = "would be applied" if dry_run else "applied"
    typer.echo(f"{len(done.outcomes)} events {word}, {done.duplicates} had been applied before")


@app.command("discard")
def discard_event(
    consumer: Consumer,
    topic: Topic,
    key: Key,
    place: Annotated[str, typer.Argument(help="Partition and offset of the event, as `inspect` shows it: 3/17.")],
    reason: Annotated[str, typer.Option(help="Why it may be lost.", prompt=True)],
    actor: Annotated[str, typer.Option(help="Who decided.")] = access.OPERATOR,
) -> None:
    """Drop one event that waits and can never be applied; `redrive` then lets the rest of its key go on."""
    partition, _, offset = place.partition("/")
    if not (partition.isdigit() and offset.isdigit()):
        raise typer.BadParameter("it is written partition/offset, such as 3/17", param_hint="PLACE")
    if not access.run(_discard(consumer, topic, key, (int(partition), int(offset)), reason, actor)):
        typer.echo(f"no event of this key waits at {place}")
        raise typer.Exit(1)
    typer.echo("discarded")


async def _discard(consumer: str, topic: str, key: str, place: tuple[int, int], reason: str, actor: str) -> bool:
    access.chosen(consumer)
    async with access.database_of(consumer) as database:
        return await discard(database, consumer, topic, key, place, actor=actor, reason=reason)


async def _list(consumer: str, limit: int) -> list[ParkedKey]:
    found: list[ParkedKey] = []
    for service in access.chosen(consumer):
        async with access.database_of(service) as database:
            found += await list_parked(database, limit=limit)
    return sorted(found, key=lambda key: key.parked_at)


async def _inspect(consumer: str, topic: str, key: str) -> list[ParkedEvent]:
    access.chosen(consumer)
    found: list[ParkedEvent] = []
    async with access.database_of(consumer) as database:
        while page := await inspect(database, consumer, topic, key, after=_place(found), limit=PAGE):
            found += page
    return found


def _place(found: Sequence[ParkedEvent]) -> tuple[int, int]:
    return (found[-1].partition, found[-1].offset) if found else (-1, -1)


async def _redrive(consumer: str, topic: str, key: str, dry_run: bool) -> Redriven:
    access.chosen(consumer)
    async with access.database_of(consumer) as database, access.handler_of(consumer) as handler:
        return await redrive(database, consumer, topic, key, handler, dry_run=dry_run)
