"""The door for events: each that somebody should hear of plans one mail, in the transaction of its claim.

Why: whatever is delivered twice plans nothing twice, and the confirmation goes out on `OrderProcessing`, never earlier.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from onefold.inventory.v1 import inventory_events_pb2
from onefold.orders.v1 import orders_events_pb2, orders_pb2

from consumers.emails import store
from consumers.emails.mails import Details, Kind, PlannedMail
from services.chassis import jobs
from services.chassis.clock import Clock
from services.chassis.consumer import Handler, parked_since
from services.chassis.db import Transaction
from services.chassis.inbox import IncomingEvent, Outcome, decode
from services.chassis.telemetry import get_logger

log = get_logger(__name__)

CONSUMER: Final = "emails"
TOPICS: Final = ("onefold.orders.v1", "onefold.inventory.v1")

# Why an order was cancelled, for those reasons that its customer is told in so many words.
_ASKED: Final = (orders_pb2.CANCELLATION_REASON_CUSTOMER, orders_pb2.CANCELLATION_REASON_ADMIN)


def handler(clock: Clock, age_max: timedelta) -> Handler:
    """The consumer's handler. An event older than `age_max` is STALE: a replay must not write to customers.

    One that was parked is as old as it was then: a redrive tells what somebody waits for, however long that took.
    """

    async def handle(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        now = clock.now()
        mails = {event.id: mail for event in events if (mail := planned(event)) is not None}
        old = [event for event in events if event.id in mails and now - event.time > age_max]
        parked = await parked_since(tx, CONSUMER, old) if old else {}
        stale = {event.id for event in old if parked.get(event.id, now) - event.time > age_max}
        if stale:
            log.warning("events_too_old_for_mails", events=len(stale))
        fresh = [mail for mail in mails.values() if mail.event_id not in stale]
        if fresh:
            await store.plan(tx, fresh, now)
            await jobs.wake(tx, store.PLANNED)
        outcomes = dict.fromkeys((event.id for event in events), Outcome.IGNORED)
        return outcomes | {event_id: Outcome.STALE if event_id in stale else Outcome.APPLIED for event_id in mails}

    return handle


def planned(event: IncomingEvent) -> PlannedMail | None:
    """The mail that the event asks for, if it asks for one. Raises Undecodable."""
    if event.type not in TRANSLATIONS:
        return None
    message: Any = decode(event)
    kind, translate = TRANSLATIONS[event.type]
    details = translate(message)
    if details is None:
        return None
    subject = message.context.order_id or event.key if kind is not Kind.STOCK_LOW else message.context.sku
    return PlannedMail(event.id, kind, subject, details, event.time)


def _nothing(message: Any) -> Details:
    return {}


def _payable_until(message: orders_events_pb2.OrderPaymentFailed) -> Details:
    return {
        "payable_until": message.payable_until.ToDatetime().isoformat() if message.HasField("payable_until") else ""
    }


def _parcel(message: orders_events_pb2.OrderShipped) -> Details:
    return {
        "carrier": message.carrier,
        "tracking_number": message.tracking_number,
        "tracking_url": message.tracking_url,
        "lines": _units(message.lines),
    }


def _cancelled(message: orders_events_pb2.OrderCancelled) -> Details:
    reason = orders_pb2.CancellationReason.Name(message.reason).removeprefix("CANCELLATION_REASON_")
    return {"reason": reason, "refund": _money(message.refund)}


def _partially_cancelled(message: orders_events_pb2.OrderPartiallyCancelled) -> Details:
    return {"lines": _units(message.cancelled), "refund": _money(message.refund)}


def _refused(message: orders_events_pb2.OrderCancellationRefused) -> Details | None:
    """Only who asked is answered: that an order did not expire after all is told by its next mail."""
    return {} if message.reason in _ASKED else None


def _refunded(message: Any) -> Details:
    return {"refunded": _money(message.refunded)}


def _level(message: inventory_events_pb2.StockLow) -> Details:
    return {
        "sku": message.context.sku,
        "location": message.context.location,
        "available": message.available,
        "threshold": message.threshold,
    }


def _money(amount: Any) -> list[int | str]:
    return [amount.amount_minor, amount.currency]


def _units(lines: Any) -> list[list[int | str]]:
    return [[unit.line, unit.sku, unit.quantity] for unit in lines]


TRANSLATIONS: Final[Mapping[str, tuple[Kind, Callable[[Any], Details | None]]]] = {
    "onefold.orders.v1.OrderProcessing": (Kind.ORDER_CONFIRMED, _nothing),
    "onefold.orders.v1.OrderPaymentFailed": (Kind.PAYMENT_FAILED, _payable_until),
    "onefold.orders.v1.OrderShipped": (Kind.ORDER_SHIPPED, _parcel),
    "onefold.orders.v1.OrderDelivered": (Kind.ORDER_DELIVERED, _nothing),
    "onefold.orders.v1.OrderCancelled": (Kind.ORDER_CANCELLED, _cancelled),
    "onefold.orders.v1.OrderPartiallyCancelled": (Kind.ORDER_PARTIALLY_CANCELLED, _partially_cancelled),
    "onefold.orders.v1.OrderCancellationRefused": (Kind.CANCELLATION_REFUSED, _refused),
    "onefold.orders.v1.OrderPartiallyRefunded": (Kind.ORDER_PARTIALLY_REFUNDED, _refunded),
    "onefold.orders.v1.OrderRefunded": (Kind.ORDER_REFUNDED, _refunded),
    "onefold.inventory.v1.StockLow": (Kind.STOCK_LOW, _level),
}
"""Event type to the kind of mail and the details that the mail shows; every other type is ignored."""
