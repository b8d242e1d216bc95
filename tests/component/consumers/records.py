"""Kafka records of events, without Kafka or for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaProducer
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.inventory.v1 import inventory_events_pb2
from onefold.orders.v1 import orders_events_pb2, orders_pb2
from onefold.payments.v1 import payments_events_pb2

from consumers.analytics.rows import Row, row_of
from services.chassis.ids import new_id

DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class FakeRecord:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=list)


def record(
    message: Message, *, key: str, offset: int = 0, partition: int = 0, days: float = 0, event_id: str = ""
) -> FakeRecord:
    """The event as Kafka has it, `days` after DAY."""
    time = DAY + timedelta(days=days)
    headers = {
        "ce_id": event_id or new_id(),
        "ce_type": message.DESCRIPTOR.full_name,
        "ce_source": "onefold/test",
        "ce_specversion": "1.0",
        "ce_time": time.isoformat(),
    }
    return FakeRecord(
        topic=message.DESCRIPTOR.file.package,
        partition=partition,
        offset=offset,
        timestamp=int(time.timestamp() * 1000),
        key=key.encode(),
        value=message.SerializeToString(),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )


def row(message: Message, *, key: str, offset: int = 0, days: float = 0, event_id: str = "") -> Row:
    return row_of(record(message, key=key, offset=offset, days=days, event_id=event_id))


async def produce(bootstrap: str, prefix: str, records: Sequence[FakeRecord]) -> None:
    """Send them; Kafka chooses partition and offset."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for one in records:
            await producer.send(f"{prefix}{one.topic}", one.value, key=one.key, headers=list(one.headers))
        await producer.flush()
    finally:
        await producer.stop()


def money(amount_minor: int, currency: str = "GBP") -> common_pb2.Money:
    return common_pb2.Money(amount_minor=amount_minor, currency=currency)


def of(order_id: str) -> common_pb2.EventContext:
    return common_pb2.EventContext(order_id=order_id)


def created(order_id: str, amount_minor: int = 1_000, currency: str = "GBP") -> Message:
    return orders_events_pb2.OrderCreated(context=of(order_id), number="N", total=money(amount_minor, currency))


def order_event(name: str, order_id: str) -> Message:
    message: Message = getattr(orders_events_pb2, name)(context=of(order_id))
    return message


def cancelled(order_id: str) -> Message:
    reason = orders_pb2.CANCELLATION_REASON_CUSTOMER
    return orders_events_pb2.OrderCancelled(context=of(order_id), reason=reason)


def payment_created(order_id: str) -> Message:
    return payments_events_pb2.PaymentCreated(context=of(order_id))


def captured(order_id: str, amount_minor: int, object_id: str = "") -> Message:
    return payments_events_pb2.PaymentCaptured(
        context=of(order_id), object_id=object_id or f"ch_{order_id}", amount=money(amount_minor)
    )


def refund(name: str, order_id: str, amount_minor: int, refund_id: str) -> Message:
    message: Message = getattr(payments_events_pb2, f"Refund{name}")(
        context=of(order_id), refund_id=refund_id, amount=money(amount_minor)
    )
    return message


def level(sku: str, version: int, on_hand: int, reserved: int = 0) -> Message:
    context = inventory_events_pb2.LevelContext(sku=sku, location="london", version=version)
    return inventory_events_pb2.StockChanged(
        context=context, on_hand=on_hand, reserved=reserved, available=on_hand - reserved
    )


def low(sku: str, version: int) -> Message:
    context = inventory_events_pb2.LevelContext(sku=sku, location="london", version=version)
    return inventory_events_pb2.StockLow(context=context, available=1, threshold=5)


def sent(order_id: str) -> Message:
    return fulfillment_events_pb2.ShipmentSent(context=of(order_id), shipment_id="s")
