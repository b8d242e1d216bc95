"""`handle`: the one door to what a command does to the stock of an order.

Why: calls, events and deadlines repeat themselves and come late. Here each command in each state has one outcome, a
request is answered once, and units move only between counters of the same line (S-19).
"""

from collections.abc import Sequence

from services.inventory.domain.commands import (
    AttachHold,
    Command,
    CommitStock,
    LapseHold,
    ReleaseStock,
    Request,
    ReserveStock,
    ReturnStock,
    ShipStock,
    UndoReservation,
)
from services.inventory.domain.facts import Decision, stale
from services.inventory.domain.holds import OrderStock
from services.inventory.domain.requests import commit, release, return_, ship
from services.inventory.domain.reservations import attach, lapse, reserve, undo
from services.inventory.domain.stock import Stock


def handle(order: OrderStock, stock: Stock, command: Command) -> Decision:
    """What `command` does to the stock of `order`; `stock` must hold the rows of `skus_needed`."""
    if order.answered and isinstance(command, Request) and command.request_id in order.answered:
        return stale(order, stock, "answered before")
    match command:
        case ReserveStock():
            return reserve(order, stock, command)
        case UndoReservation():
            return undo(order, stock, command)
        case LapseHold():
            return lapse(order, stock, command)
        case AttachHold():
            return attach(order, stock, command)
        case CommitStock():
            return commit(order, stock, command)
        case ReleaseStock():
            return release(order, stock, command)
        case ShipStock():
            return ship(order, stock, command)
        case ReturnStock():
            return return_(order, stock, command)


def skus_needed(order: OrderStock, commands: Sequence[Command]) -> set[str]:
    """SKUs whose rows `commands`, folded in order, may read or change.

    A lone attach or commit of a hold that fits moves no stock: it needs none, and so does not queue for a hot row.
    """
    live = order.live
    lone = commands[0] if len(commands) == 1 else None
    if live and isinstance(lone, AttachHold | CommitStock) and live.holds_exactly(lone.lines):
        return set()
    skus = {line.sku for hold in order.holds for line in hold.lines if line.open or line.shipped > line.returned}
    for command in commands:
        if isinstance(command, ReserveStock):
            skus.update(line.sku for line in command.cart.lines)
        elif not isinstance(command, UndoReservation | LapseHold):
            skus.update(line.sku for line in command.lines)
    return skus
