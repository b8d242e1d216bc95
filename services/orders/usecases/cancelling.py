"""Cancelling: a customer's or an operator's wish, and an operator's decision about one (S-8).

Why: orders only asks here; how it ends is said when payments and fulfillment have answered (S-9 to S-11).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from services.chassis.db import Transaction
from services.chassis.errors import DomainError
from services.orders import domain
from services.orders.domain import Advanced, Order, Policies, Refusal
from services.orders.store import roots
from services.orders.usecases.commands import CancelOrder, DecideCancellation
from services.orders.usecases.deciding import Decisions
from services.orders.usecases.errors import OrderNotFound, refused

C = TypeVar("C", CancelOrder, DecideCancellation)


async def cancel_orders(
    tx: Transaction, commands: Sequence[CancelOrder], now: datetime, policies: Policies
) -> list[DomainError | None]:
    """Ask for cancellation; a refusal for each order whose state does not allow it."""

    def decide(command: CancelOrder, order: Order) -> Advanced | Refusal:
        return domain.cancel(order, command.reason, command.actor, now, policies)

    return await _decide(tx, commands, decide, now, policies)


async def decide_cancellations(
    tx: Transaction, commands: Sequence[DecideCancellation], now: datetime, policies: Policies
) -> list[DomainError | None]:
    """Approve or decline what customers proposed."""

    def decide(command: DecideCancellation, order: Order) -> Advanced | Refusal:
        return domain.decide_cancellation(order, command.approve, command.actor, now, policies)

    return await _decide(tx, commands, decide, now, policies)


async def _decide(
    tx: Transaction,
    commands: Sequence[C],
    decide: Callable[[C, Order], Advanced | Refusal],
    now: datetime,
    policies: Policies,
) -> list[DomainError | None]:
    decisions = Decisions(await roots.lock(tx, (command.order_id for command in commands)), now, policies)
    results: list[DomainError | None] = []
    for command in commands:
        order = decisions.order(command.order_id)
        if order is None:
            results.append(OrderNotFound(order_id=command.order_id))
            continue
        decided = decide(command, order)
        if isinstance(decided, Refusal):
            results.append(refused(decided.reason, decided.message))
            continue
        note = command.note if decided.order.version != order.version else ""
        decisions.take(command.order_id, decided, caused_by=command.caused_by, note=note)
        results.append(None)
    await decisions.store(tx)
    return results
