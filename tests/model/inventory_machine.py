"""Inventory in the model: the real decisions over one SKU, a hold that may lapse, and a rival for the stock.

Versions are put to zero: they grow with every change, and no decision looks at them.
The queue of backorders (S-20) is kept here until the service has one: a commit that found no stock is tried again when
stock arrives, by the real decision, under a name of its own that the answer does not show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from services.inventory import domain
from services.inventory.domain import HoldState, LineQuantity, OrderStock, StockRow
from services.orders.domain import LineQuantity as OrderedUnits
from services.orders.domain import events, facts
from tests.model.explorer import Step
from tests.model.orders_machine import START

AGAIN = " again"
LAPSES_AT = START + timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class InventoryValue:
    """The order's stock, the levels, and what may still happen to them."""

    order: OrderStock
    rows: tuple[StockRow, ...]
    may: tuple[str, ...] = ()
    queued: tuple[domain.CommitStock, ...] = ()


class InventoryMachine:
    """Inventory."""

    name = "inventory"

    def __init__(self, *, queue: bool = False) -> None:
        self._queue = queue

    def receive(self, value: InventoryValue, message: events.OrderEvent) -> Step:
        """Handle a request, or attach the hold when the order was placed."""
        command = _command(message)
        step = self._step(f"inventory <- {type(message).__name__}", value, command)
        assert isinstance(step.machine, InventoryValue)
        queued = step.machine.queued
        if isinstance(command, domain.ReleaseStock) and not command.lines:
            queued = ()
        elif self._queue and isinstance(command, domain.CommitStock) and _is_short(step):
            queued = (command,)
        return replace(step, machine=replace(step.machine, queued=queued))

    def own_steps(self, value: InventoryValue) -> Iterator[Step]:
        """The hold lapses while it is tentative; somebody else buys all that is left; new stock arrives."""
        for event in dict.fromkeys(value.may):
            may = list(value.may)
            may.remove(event)
            left = replace(value, may=tuple(may))
            if event == "hold lapses":
                live = value.order.live
                if live is not None and live.state is HoldState.TENTATIVE:
                    yield self._step(event, left, domain.LapseHold("order", LAPSES_AT), must=False)
            else:
                change = 0 if event == "stock arrives" else 1
                rows = tuple(
                    row._replace(reserved=row.reserved + change * row.available, on_hand=row.on_hand + (1 - change) * 2)
                    for row in value.rows
                )
                yield self._arrived(event, replace(left, rows=rows))

    def _arrived(self, event: str, value: InventoryValue) -> Step:
        if event != "stock arrives" or not value.queued:
            return Step(event, value, must=False)
        command = value.queued[0]
        again = replace(command, request_id=f"{command.request_id}{AGAIN}")
        return self._step(event, replace(value, queued=()), again, must=False)

    def _step(self, label: str, value: InventoryValue, command: domain.Command, *, must: bool = True) -> Step:
        decision = domain.handle(value.order, domain.stock_of(value.rows), command)
        breach = ""
        if decision.outcome is domain.Outcome.CONTRADICTION:
            breach = f"inventory: {type(command).__name__}: {decision.note}"
        rows = tuple(
            row._replace(version=0, is_low=False)
            for by_location in decision.stock.values()
            for row in by_location.values()
        )
        if any(row.available < 0 for row in rows):
            breach = "inventory: stock below zero"
        sent = tuple(("orders", fact) for event in decision.events if (fact := _fact(event)) is not None)
        after = replace(value, order=decision.order._replace(version=0), rows=rows)
        return Step(label, after, sent, breach, must)


def held(units: int = 2, on_hand: int = 2, may: tuple[str, ...] = ()) -> InventoryValue:
    """The stock after phase 2 of placing an order: a tentative hold (SAGA 3)."""
    rows: tuple[StockRow, ...] = (StockRow("A", "here", on_hand, threshold=0),)
    cart = domain.Cart((domain.PricedLine(1, "A", units, "A", domain.Price(100, "GBP")),))
    reserve = domain.ReserveStock("order", 1, cart, LAPSES_AT)
    decision = domain.handle(OrderStock("order"), domain.stock_of(rows), reserve)
    assert isinstance(decision.answer, domain.Hold), decision.answer
    rows = tuple(
        row._replace(version=0, is_low=False) for by_location in decision.stock.values() for row in by_location.values()
    )
    return InventoryValue(decision.order._replace(version=0), rows, may)


def _is_short(step: Step) -> bool:
    return any(isinstance(fact, facts.StockUnavailable) for _, fact in step.sent)


def _command(message: events.OrderEvent) -> domain.Command:
    match message:
        case events.OrderCreated():
            return domain.AttachHold("order", message.reservation, _units(message.lines))
        case events.StockCommitRequested():
            return domain.CommitStock("order", message.request_id, message.round, _units(message.lines))
        case events.StockReleaseRequested():
            return domain.ReleaseStock("order", message.request_id, message.round, _units(message.lines))
        case events.StockShipRequested():
            return domain.ShipStock("order", message.request_id, message.shipment_id, _units(message.lines))
        case events.StockReturnRequested():
            return domain.ReturnStock("order", message.request_id, message.return_id, _units(message.lines))
    raise AssertionError(message)


def _fact(event: Any) -> facts.Fact | None:
    common: dict[str, Any] = {"version": 0, "occurred_at": START}
    match event:
        case domain.StockCommitted():
            return facts.StockCommitted(request_id=event.request_id.removesuffix(AGAIN), round=event.round, **common)
        case domain.StockUnavailable():
            return facts.StockUnavailable(request_id=event.request_id, round=event.round, **common)
        case domain.StockReleased():
            lines = tuple(OrderedUnits(unit.line, unit.sku, unit.quantity) for unit in event.lines)
            return facts.StockReleased(request_id=event.request_id, round=event.round, lines=lines, **common)
        case domain.StockShipped():
            return facts.StockShipped(request_id=event.request_id, **common)
        case domain.StockReturned():
            return facts.StockReturned(request_id=event.request_id, **common)
    return None  # StockReserved and levels: orders claims and ignores them (S-1)


def _units(lines: tuple[OrderedUnits, ...]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(unit.line, unit.sku, unit.quantity) for unit in lines)
