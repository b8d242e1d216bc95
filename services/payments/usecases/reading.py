"""Read how a payment stands, here or at the provider; nothing is created and nothing changes (R-1.2).

Why: webhooks and the reconciler are the only writers of money facts, whatever a browser claims.
"""

from dataclasses import dataclass
from typing import Final

from services.chassis.db import Database
from services.chassis.operations import Declined, Retryable, Unknown
from services.payments import domain
from services.payments.store import payables
from services.payments.usecases.attempts import secret_of
from services.payments.usecases.decisions import Context
from services.payments.usecases.errors import PaymentNotFound, ProviderObjectNotFound, ProviderUnavailable

MESSAGES: Final = {
    domain.AttemptState.PAYABLE: "The payment was not completed.",
    domain.AttemptState.REQUIRES_ACTION: "The payment needs to be confirmed with the bank.",
    domain.AttemptState.PROCESSING: "The payment is being processed.",
    domain.AttemptState.AUTHORIZED: "The payment is authorized.",
    domain.AttemptState.SUCCEEDED: "The payment was received.",
    domain.AttemptState.CANCELED: "The payment was cancelled.",
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the provider says about one payment."""

    success: bool
    word: str
    message: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A payable, and how the customer gets to its live attempt."""

    payable: domain.Payable
    secret: str
    url: str


async def confirm(database: Database, context: Context, object_id: str) -> Confirmation:
    """Ask the provider. Raises ProviderObjectNotFound, ProviderUnavailable."""
    try:
        shown = await context.provider.fetch(object_id, context.clock.now())
    except (Retryable, Unknown) as error:
        raise ProviderUnavailable from error
    except Declined as error:
        raise ProviderObjectNotFound from error
    if shown is None:
        raise ProviderObjectNotFound
    orders = await payables.find_orders(database, context.provider.name, [object_id])
    text = MESSAGES.get(shown.seen.state, "")
    return Confirmation(shown.paid, shown.word, text, orders.get(object_id, shown.order_id))


async def get(database: Database, context: Context, order_id: str) -> Reading:
    """The payable; the secret is empty where nothing is left to pay, or while the provider is away.

    Raises PaymentNotFound.
    """
    payable = await payables.read(database, order_id)
    if payable is None:
        raise PaymentNotFound
    live = payable.live_attempt
    try:
        secret, url = await secret_of(context, live) if live and not payable.closed else ("", "")
    except ProviderUnavailable:
        secret, url = "", ""
    return Reading(payable, secret, url)
