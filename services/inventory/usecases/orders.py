"""Commands to the stock of orders: one fold for calls, events and time.

Why: every door needs the same steps in the same order: lock roots, lock levels, decide, write, tell (S-3, S-4).
"""

from collections.abc import Sequence
from datetime import datetime

from services.chassis import incidents, outbox
from services.chassis.db import Transaction
from services.chassis.meanwhile import meanwhile
from services.inventory import domain, published
from services.inventory.domain.commands import Request
from services.inventory.store import levels, orders

CONTRADICTION = "stock_contradiction"


async def apply_to_orders(tx: Transaction, commands: Sequence[domain.Command], now: datetime) -> list[domain.Decision]:
    """Apply commands in their order, several per order folded over one state (S-25); one decision each."""
    by_order: dict[str, list[domain.Command]] = {}
    for command in commands:
        by_order.setdefault(command.order_id, []).append(command)
    requests = [(command.order_id, command.request_id) for command in commands if isinstance(command, Request)]
    before = await orders.lock_orders(tx, by_order.keys(), requests, now)
    needed = {key: domain.skus_needed(before[key], mine) for key, mine in by_order.items()}
    stock_before = await levels.lock_stock(tx, set().union(*needed.values()))
    after, stock = dict(before), dict(stock_before)
    decisions: list[domain.Decision] = []
    for command in commands:
        # Each decision gets the levels that its order may touch: it copies them, and a batch can have hundreds.
        mine = {sku: stock[sku] for sku in needed[command.order_id] if sku in stock}
        decision = domain.handle(after[command.order_id], mine, command)
        after[command.order_id] = decision.order
        stock.update(decision.stock)
        decisions.append(decision)
    rows = domain.changed_rows(stock_before, stock)

    moved = [entry for decision in decisions for entry in decision.movements]
    async with meanwhile(levels.save_stock(tx, rows, moved, now)):  # others wait for the levels that are locked
        changes = orders.changes(before, after)
    async with meanwhile(orders.save_orders(tx, changes, now)):
        told = _told(commands, decisions, rows, now)
    await outbox.append(tx, told)
    await incidents.open_incidents(tx, _contradictions(commands, decisions, now))
    return decisions


async def lapse_holds(tx: Transaction, order_ids: Sequence[str], now: datetime) -> int:
    """Give back tentative holds whose time is over at `now`; how many there were."""
    decisions = await apply_to_orders(tx, [domain.LapseHold(order_id, now) for order_id in order_ids], now)
    return sum(decision.outcome is domain.Outcome.APPLIED for decision in decisions)


def _told(
    commands: Sequence[domain.Command],
    decisions: Sequence[domain.Decision],
    rows: Sequence[domain.StockRow],
    now: datetime,
) -> list[outbox.OutgoingEvent]:
    causes = {command.caused_by for command in commands}
    told = [
        event
        for command, decision in zip(commands, decisions, strict=True)
        for event in published.facts_of(decision, command.caused_by, now)
    ]
    return told + published.levels_of(rows, causes.pop() if len(causes) == 1 else "", now)


def _contradictions(
    commands: Sequence[domain.Command], decisions: Sequence[domain.Decision], now: datetime
) -> list[incidents.Incident]:
    return [
        incidents.Incident(
            kind=CONTRADICTION,
            subject=command.request_id if isinstance(command, Request) else command.order_id,
            opened_at=now,
            order_id=command.order_id,
            details={"command": type(command).__name__, "note": decision.note, "caused_by": command.caused_by},
        )
        for command, decision in zip(commands, decisions, strict=True)
        if decision.outcome is domain.Outcome.CONTRADICTION
    ]
