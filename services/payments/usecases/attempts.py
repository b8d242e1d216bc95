"""Begin to pay: plan the attempt in one transaction, then ask the provider outside of any.

Why: whoever dies in between leaves a journaled operation, which the runner finishes: the intent is adopted, or
cancelled where the payable was closed meanwhile (R-1.4 to R-1.6).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.chassis.db import Database
from services.chassis.errors import DomainError
from services.chassis.operations import Declined, OperationRunner, Retryable, Unknown, get_operation
from services.chassis.operations import operation_id as id_of
from services.payments import domain
from services.payments.domain import AttemptState, Kind
from services.payments.providers.base import Checkout
from services.payments.store import payables
from services.payments.usecases.decisions import Context, Step, apply
from services.payments.usecases.errors import REFUSALS, ProviderRefused, ProviderUnavailable

_FRESH: Final = timedelta(minutes=1)  # for so long an object is taken to be as it was made
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_MARGIN_S: Final = 0.5
_ASKABLE: Final = (AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION)


@dataclass(frozen=True, slots=True)
class Begin:
    """CreatePayment as a command, with what the provider is told beside the money."""

    create: domain.CreatePayment
    checkout: Checkout


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt to pay with, and how the customer gets there; both texts empty where nothing is left to pay."""

    payable: domain.Payable
    attempt: domain.Attempt
    secret: str = ""
    url: str = ""
    planned: bool = False  # by this very call


async def begin(database: Database, context: Context, commands: Sequence[Begin]) -> list[Begun | DomainError]:
    """Plan or find the attempt of each command, in one transaction."""
    steps = [Step(c.checkout.order_id, c.create, c.create.request_id, checkout=c.checkout) for c in commands]
    decisions = await database.run(lambda tx: apply(tx, context, steps, create=True))
    answers: list[Begun | DomainError] = []
    for decision in decisions:
        assert decision is not None  # create=True made its root
        if decision.refusal is not None:
            answers.append(REFUSALS[decision.refusal.reason](decision.refusal.message))
        else:
            planned = bool(decision.operations)
            answers.append(Begun(decision.payable, decision.payable.attempt(decision.attempt_id), planned=planned))
    return answers


async def finish(database: Database, context: Context, runner: OperationRunner, begun: Begun, deadline: float) -> Begun:
    """See the planned attempt through at the provider. Raises ProviderUnavailable, ProviderRefused."""
    begun = await _created(database, context, runner, begun, deadline)
    attempt = begun.attempt
    if attempt.state is AttemptState.CREATING:
        raise ProviderUnavailable
    if attempt.state is AttemptState.CANCELED and not attempt.object_id:
        failure = attempt.failure
        raise ProviderRefused(provider_code=failure.code if failure else "unknown")
    fresh = context.clock.now() - attempt.created_at < _FRESH
    secret, url = await secret_of(context, attempt, remembered=fresh)
    if _askable(attempt) and not secret and not url:  # over at the provider, and its webhook is late or lost
        now = context.clock.now()
        await database.run(lambda tx: payables.look_now(tx, begun.payable.order_id, now))
        raise ProviderUnavailable
    return Begun(begun.payable, attempt, secret, url)


async def secret_of(context: Context, attempt: domain.Attempt, *, remembered: bool = True) -> tuple[str, str]:
    """Client secret and page, stored nowhere: as this process remembers them, or as the provider shows them now.

    Empty where nothing can be paid. Raises ProviderUnavailable.
    """
    if not _askable(attempt):
        return "", ""
    if remembered and (known := context.provider.secret_of(attempt.object_id)) is not None:
        return known
    try:
        shown = await context.provider.fetch(attempt.object_id, context.clock.now())
    except (Declined, Retryable, Unknown) as error:
        raise ProviderUnavailable from error
    return (shown.secret, shown.url) if shown else ("", "")


def _askable(attempt: domain.Attempt) -> bool:
    return attempt.state in _ASKABLE and not attempt.orphan and bool(attempt.object_id)


async def _created(
    database: Database, context: Context, runner: OperationRunner, begun: Begun, deadline: float
) -> Begun:
    """Run the create here, or wait while another process runs it; CREATING if the deadline comes first.

    One that has to wait before its next try waits here, too: a caller's patience is no reason to hurry (F-10).
    """
    loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE_S
    fresh = begun.planned
    while begun.attempt.state is AttemptState.CREATING:
        operation_id = _create_operation(begun)
        operation = None if fresh else await get_operation(database, operation_id)
        if operation is None or operation.next_try_at <= context.clock.now():
            operation = await runner.run_now(operation_id)
        fresh = False
        payable = await payables.read(database, begun.payable.order_id)
        if payable is not None:
            begun = Begun(payable, payable.attempt(begun.attempt.id))
        left = (operation.next_try_at - context.clock.now()).total_seconds() if operation.state.open else 0.0
        wait = max(pause, left)
        if begun.attempt.state is not AttemptState.CREATING or loop.time() + wait + _MARGIN_S > deadline:
            break
        await asyncio.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    return begun


def _create_operation(begun: Begun) -> str:
    """The attempt's last create."""
    number = sum(a.creates for a in begun.payable.attempts if a.number <= begun.attempt.number)
    return id_of(Kind.CREATE, begun.payable.order_id, number)
