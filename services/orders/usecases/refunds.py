"""Refunds that failed: which are still due, and another try of one (R-1.12).

Why: payments stops at the first failure, for the second try may need a person's eyes; money that is owed must have a
way back to the customer all the same.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.chassis.db import Database, Transaction
from services.chassis.errors import DomainError
from services.chassis.incidents import resolve_about
from services.orders import domain
from services.orders.domain import Money, Policies, RefundState, Refusal
from services.orders.store import roots
from services.orders.usecases.deciding import Decisions
from services.orders.usecases.errors import OrderNotFound, refused

INCIDENT: Final = "refund_failed"


@dataclass(frozen=True, slots=True)
class Owed:
    """A refund that failed, and what is still due of it."""

    order_id: str
    number: str
    refund_id: str
    amount: Money


async def list_owed(database: Database, at_most: int) -> list[Owed]:
    """Failed refunds that are still due, those of the oldest orders first; what was given back since is not counted."""
    owed: list[Owed] = []
    last: tuple[datetime, str] | None = None
    while len(owed) < at_most and (page := await roots.with_failed_refunds(database, last)):
        last = page[-1]
        found = await roots.read(database, [order_id for _, order_id in page])
        owed += (
            Owed(order.order_id, order.number, refund.refund_id, amount)
            for _, order_id in page
            for order in [found[order_id].order]
            for refund in order.progress.refunds
            if refund.state is RefundState.FAILED and (amount := domain.owed(order, refund)).amount_minor > 0
        )
    return owed[:at_most]


async def retry_refund(
    tx: Transaction, order_id: str, refund_id: str, actor: str, now: datetime, policies: Policies
) -> DomainError | None:
    """Ask payments again, once: what is asked for has not failed. The incident of the failure is closed."""
    decisions = Decisions(await roots.lock(tx, [order_id]), now, policies)
    order = decisions.order(order_id)
    if order is None:
        return OrderNotFound(order_id=order_id)
    decided = domain.retry_refund(order, refund_id)
    if isinstance(decided, Refusal):
        return refused(decided.reason, decided.message)
    decisions.take(order_id, decided, caused_by="")
    await decisions.store(tx)
    await resolve_about(tx, INCIDENT, f"{order_id} {refund_id}", "asked for again", actor)
    return None
