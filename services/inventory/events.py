"""The door for events: what orders tells and asks, folded in the order of its topic.

Why: a placed order's stock moves on requests of orders only (S-19), and every event read has a named outcome (S-25).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.clock import Clock
from services.chassis.consumer import Handler, commanding
from services.chassis.db import Transaction
from services.inventory import domain, usecases

CONSUMER = "inventory"
TOPICS = ("onefold.orders.v1",)


def handler(clock: Clock) -> Handler:
    """The consumer's handler; types that are not for inventory are ignored."""

    async def fold(tx: Transaction, commands: Sequence[domain.Command]) -> list[str]:
        return [decision.outcome for decision in await usecases.apply_to_orders(tx, commands, clock.now())]

    return commanding(TRANSLATIONS, fold)


def _attach(event: orders_pb2.OrderCreated, event_id: str) -> domain.Command:
    return domain.AttachHold(event.context.order_id, event.reservation, _units(event.lines), event_id)


def _commit(event: orders_pb2.StockCommitRequested, event_id: str) -> domain.Command:
    return domain.CommitStock(event.context.order_id, event.request_id, event.round, _units(event.lines), event_id)


def _release(event: orders_pb2.StockReleaseRequested, event_id: str) -> domain.Command:
    return domain.ReleaseStock(event.context.order_id, event.request_id, event.round, _units(event.lines), event_id)


def _ship(event: orders_pb2.StockShipRequested, event_id: str) -> domain.Command:
    return domain.ShipStock(event.context.order_id, event.request_id, event.shipment_id, _units(event.lines), event_id)


def _return(event: orders_pb2.StockReturnRequested, event_id: str) -> domain.Command:
    return domain.ReturnStock(event.context.order_id, event.request_id, event.return_id, _units(event.lines), event_id)


def _units(lines: Sequence[common_pb2.LineQuantity]) -> tuple[domain.LineQuantity, ...]:
    return tuple(domain.LineQuantity(line.line, line.sku, line.quantity) for line in lines)


TRANSLATIONS: Mapping[str, Callable[[Any, str], domain.Command]] = {
    "onefold.orders.v1.OrderCreated": _attach,
    "onefold.orders.v1.StockCommitRequested": _commit,
    "onefold.orders.v1.StockReleaseRequested": _release,
    "onefold.orders.v1.StockShipRequested": _ship,
    "onefold.orders.v1.StockReturnRequested": _return,
}
"""Event type to the command that it asks for; the second argument is the event's id."""
