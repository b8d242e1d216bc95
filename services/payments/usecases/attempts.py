"""Begin to pay: plan the attempt in one transaction, then ask the provider outside of any.

Why: whoever dies in between leaves a journaled operation, which the runner finishes: the intent is adopted, or
cancelled where the payable was closed meanwhile (R-1.4 to R-1.6).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.chassis.db import Database
from services.chassis.errors import DomainError
from services.chassis.operations import Declined, OperationRunner, Retryable, Unknown, operation_id
from services.payments import domain
from services.payments.domain import AttemptState, Kind
from services.payments.providers.base import Checkout
from services.payments.store import payables
from services.payments.usecases.decisions import Context, Step, apply
from services.payments.usecases.errors import REFUSALS, ProviderRefused, ProviderUnavailable

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
            answers.append(Begun(decision.payable, decision.payable.attempt(decision.attempt_id)))
    return answers


async def finish(database: Database, context: Context, runner: OperationRunner, begun: Begun, deadline: float) -> Begun:
    """See the planned attempt through at the provider. Raises ProviderUnavailable, ProviderRefused."""
    begun = await _created(database, runner, begun, deadline)
    attempt = begun.attempt
    if attempt.state is AttemptState.CREATING:
        raise ProviderUnavailable
    if attempt.state is AttemptState.CANCELED and not attempt.object_id:
        failure = attempt.failure
        raise ProviderRefused(provider_code=failure.code if failure else "unknown")
    secret, url = await secret_of(context, attempt)
    return Begun(begun.payable, attempt, secret, url)


async def secret_of(context: Context, attempt: domain.Attempt) -> tuple[str, str]:
    """Client secret and page, read again from the provider: they are stored nowhere. Raises ProviderUnavailable."""
    if attempt.state not in _ASKABLE or attempt.orphan or not attempt.object_id:
        return "", ""
    known = context.provider.secret_of(attempt.object_id)
    if known is not None:
        return known
    try:
        shown = await context.provider.fetch(attempt.object_id, context.clock.now())
    except (Declined, Retryable, Unknown) as error:
        raise ProviderUnavailable from error
    return (shown.secret, shown.url) if shown else ("", "")


async def _created(database: Database, runner: OperationRunner, begun: Begun, deadline: float) -> Begun:
    """Run the create here, or wait while another process runs it; CREATING if the deadline comes first."""
    loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE_S
    while begun.attempt.state is AttemptState.CREATING:
        await runner.run_now(_create_operation(begun))
        payable = await payables.read(database, begun.payable.order_id)
        if payable is not None:
            begun = Begun(payable, payable.attempt(begun.attempt.id))
        if begun.attempt.state is not AttemptState.CREATING or loop.time() + pause + _MARGIN_S > deadline:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    return begun


def _create_operation(begun: Begun) -> str:
    """The attempt's last create."""
    number = sum(a.creates for a in begun.payable.attempts if a.number <= begun.attempt.number)
    return operation_id(Kind.CREATE, begun.payable.order_id, number)
