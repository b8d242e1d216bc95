"""What inventory publishes: domain facts as protobuf events.

Why: calls, events and jobs lead to the same facts, and none of them should know how a fact is told.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_events_pb2 as events_pb2
from onefold.inventory.v1 import inventory_pb2

from services.chassis import outbox
from services.chassis.messages import context_of, line_quantities, timestamp
from services.inventory import domain
from services.inventory.store.catalogue import ChangedItem


def facts_of(decision: domain.Decision, caused_by: str, now: datetime) -> list[outbox.OutgoingEvent]:
    """The events of one decision: those about the order by its id, those about a level by the SKU."""
    told: list[outbox.OutgoingEvent] = []
    for event in decision.events:
        if isinstance(event, domain.StockLow):
            told.append(_low(event, caused_by, now))
        else:
            context = context_of(event.order_id, event.version, now, caused_by)
            told.append(outbox.outgoing(_message(event, context), key=event.order_id, now=now))
    return told


def lows_of(events: Iterable[domain.StockLow], caused_by: str, now: datetime) -> list[outbox.OutgoingEvent]:
    """Levels that fell below their threshold."""
    return [_low(event, caused_by, now) for event in events]


def levels_of(rows: Iterable[domain.StockRow], caused_by: str, now: datetime) -> list[outbox.OutgoingEvent]:
    """The counters of changed levels, one event each however often a level moved in the transaction."""
    told: list[outbox.OutgoingEvent] = []
    for row in rows:
        message = events_pb2.StockChanged(
            context=_level_context(row.sku, row.location, row.version, caused_by, now),
            on_hand=row.on_hand,
            reserved=row.reserved,
            available=row.available,
        )
        told.append(outbox.outgoing(message, key=row.sku, now=now))
    return told


def items_of(changed: Iterable[ChangedItem], caused_by: str, now: datetime) -> list[outbox.OutgoingEvent]:
    """Changed items of the catalogue."""
    told: list[outbox.OutgoingEvent] = []
    for change in changed:
        message = events_pb2.CatalogueChanged(
            context=_level_context(change.item.sku, "", change.version, caused_by, now), item=item_message(change.item)
        )
        told.append(outbox.outgoing(message, key=change.item.sku, now=now))
    return told


def item_message(item: domain.Item) -> inventory_pb2.Item:
    """The item, its prices in the order of their currencies."""
    return inventory_pb2.Item(
        sku=item.sku,
        name=item.name,
        prices=[
            common_pb2.Money(amount_minor=amount, currency=currency) for currency, amount in sorted(item.prices.items())
        ],
        available=item.available,
        weight_grams=item.weight_grams,
        variant_ids=dict(item.variant_ids),
        low_stock_threshold=item.low_stock_threshold,
    )


def _message(event: domain.Fact, context: Any) -> Message:
    match event:
        case domain.StockReserved():
            return events_pb2.StockReserved(
                context=context,
                reservation=event.reservation,
                lines=line_quantities(event.lines),
                lapses_at=timestamp(event.lapses_at),
            )
        case domain.StockCommitted():
            return events_pb2.StockCommitted(
                context=context,
                request_id=event.request_id,
                round=event.round,
                lines=line_quantities(event.lines),
                locations=[inventory_pb2.LineLocation(line=line, location=place) for line, place in event.locations],
            )
        case domain.StockUnavailable():
            return events_pb2.StockUnavailable(
                context=context,
                request_id=event.request_id,
                round=event.round,
                shortages=[
                    inventory_pb2.Shortage(sku=short.sku, available=short.available, requested=short.requested)
                    for short in event.shortages
                ],
            )
        case domain.StockReleased():
            return events_pb2.StockReleased(
                context=context,
                request_id=event.request_id,
                round=event.round,
                lines=line_quantities(event.lines),
                reservation=event.reservation,
                reason=event.reason,
            )
        case domain.StockShipped():
            return events_pb2.StockShipped(
                context=context,
                request_id=event.request_id,
                shipment_id=event.shipment_id,
                lines=line_quantities(event.lines),
            )
        case domain.StockReturned():
            return events_pb2.StockReturned(
                context=context,
                request_id=event.request_id,
                return_id=event.return_id,
                lines=line_quantities(event.lines),
            )


def _low(event: domain.StockLow, caused_by: str, now: datetime) -> outbox.OutgoingEvent:
    message = events_pb2.StockLow(
        context=_level_context(event.sku, event.location, event.version, caused_by, now),
        available=event.available,
        threshold=event.threshold,
    )
    return outbox.outgoing(message, key=event.sku, now=now)


def _level_context(sku: str, location: str, version: int, caused_by: str, now: datetime) -> Any:
    return {
        "sku": sku,
        "location": location,
        "version": version,
        "occurred_at": timestamp(now),
        "caused_by": caused_by,
    }
