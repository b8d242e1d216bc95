"""Ask the provider about what has not ended, and let time have its say (S-9).

Why: a webhook can be lost, and a cancellation must not wait for one; the provider is asked outside of transactions,
and what it showed is applied like any other fact.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from services.chassis import incidents
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.operations import Declined, Retryable, Unknown
from services.chassis.telemetry import get_logger
from services.payments import domain
from services.payments.store import payables
from services.payments.usecases.decisions import Context, Step, apply

log = get_logger(__name__)

_AT_ONCE: Final = 10
_TRY_AGAIN: Final = timedelta(minutes=1)
CAUSE: Final = "asked"
NOT_FOLLOWED: Final = "provider_not_followed"


async def ask(database: Database, context: Context, limit: int) -> int:
    """Ask about the payables whose time has come; returns how many."""
    order_ids = await payables.to_look_at(database, context.clock.now(), limit)
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(order_id: str) -> None:
        async with places:
            await _ask(database, context, order_id)

    results = await asyncio.gather(*(one(order_id) for order_id in order_ids), return_exceptions=True)
    for order_id, error in zip(order_ids, results, strict=True):
        if error is None:
            continue
        if not isinstance(error, Exception) or is_broken_plumbing(error):
            raise error
        await _give_up_for_now(database, context, order_id, error)
    return len(order_ids)


async def _give_up_for_now(database: Database, context: Context, order_id: str, error: Exception) -> None:
    """What cannot be read or stored is asked about later, and a person is told."""
    log.error("provider_not_followed", order_id=order_id, exc_info=error)
    now = context.clock.now()
    incident = incidents.Incident(NOT_FOLLOWED, order_id, now, order_id, {"problem": repr(error)[:500]})

    async def body(tx: Transaction) -> None:
        await payables.look_later(tx, order_id, now + context.rules.ask_again)
        await incidents.open_incidents(tx, [incident])

    await database.run(body)


async def _ask(database: Database, context: Context, order_id: str) -> None:
    payable = await payables.read(database, order_id)
    if payable is None:
        return
    try:
        facts = await _facts(context, payable, context.clock.now())
    except (Declined, Retryable, Unknown) as error:
        log.warning("provider_not_asked", order_id=order_id, error=repr(error))
        later = context.clock.now() + _TRY_AGAIN
        await database.run(lambda tx: payables.look_later(tx, order_id, later))
        return
    steps = [Step(order_id, fact, CAUSE) for fact in facts]
    steps.append(Step(order_id, domain.TimePassed(), CAUSE, asked=payable.look_at))

    async def body(tx: Transaction) -> None:
        await apply(tx, context, steps, create=False)

    await database.run(body)


async def _facts(context: Context, payable: domain.Payable, now: datetime) -> list[domain.Fact]:
    """Every attempt that has not ended, and the refunds of every capture."""
    facts: list[domain.Fact] = []
    for attempt in payable.attempts:
        if not attempt.ended and attempt.object_id:
            shown = await context.provider.fetch(attempt.object_id, now)
            if shown is not None:
                facts.append(replace(shown.seen, as_of=attempt.state_at))
    for capture in payable.facts(domain.Entry.CAPTURED):
        facts.extend(await context.provider.refunds_of(capture.object_id, now))
    return facts
