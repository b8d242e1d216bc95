"""The e-mail consumer without its process: its doors, an orders service that answers, and the mails that arrive.

Why: a test says what happened to an order, and then reads the customer's mail.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_events_pb2
from onefold.orders.v1 import orders_events_pb2, orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1 import orders_service_pb2_grpc as service_grpc

from consumers.emails.config import EmailsSettings
from consumers.emails.events import CONSUMER, handler
from consumers.emails.jobs import EmailsJobs
from consumers.emails.readers import Orders
from ops.local.smtp import Mail, SmtpSink
from services.chassis.clock import ManualClock
from services.chassis.db import Database
from services.chassis.errors import DependencyUnavailable, NotFound
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent
from services.chassis.testing import hear, incoming, open_database, serving

ADA = "ada@example.org"


class OrdersServicer(service_grpc.OrdersServiceServicer):
    """GetOrder as orders answers it; `away` makes it UNAVAILABLE."""

    def __init__(self) -> None:
        self.orders: dict[str, orders_pb2.Order] = {}
        self.away = False

    async def GetOrder(
        self, request: service_pb2.GetOrderRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> service_pb2.GetOrderResponse:
        if self.away:
            raise DependencyUnavailable("orders is away")
        if request.order_id not in self.orders:
            raise NotFound("no such order")
        return service_pb2.GetOrderResponse(order=self.orders[request.order_id])


@dataclass
class Postroom:
    """The consumer, the orders it asks about, and the sink."""

    database: Database
    clock: ManualClock
    jobs: EmailsJobs
    sink: SmtpSink
    orders: OrdersServicer
    settings: EmailsSettings

    def order(self, *, email: str = ADA, name: str = "Ada Lovelace", currency: str = "GBP", **changes: Any) -> str:
        """An order of two lines, known to orders; its id."""
        order_id = new_id()

        def money(amount_minor: int) -> common_pb2.Money:
            return common_pb2.Money(amount_minor=amount_minor, currency=currency)

        lines = [
            orders_pb2.OrderLine(
                line=1, sku="MUG", name="Mug <blue>", quantity=2, unit_price=money(1_050), line_total=money(2_100)
            ),
            orders_pb2.OrderLine(
                line=2, sku="SHIRT", name="Shirt", quantity=1, unit_price=money(2_000), line_total=money(2_000)
            ),
        ]
        values: dict[str, Any] = {
            "number": "7K3M-92QXTF",
            "shipping_address": common_pb2.Address(name=name),
            "lines": lines,
            "subtotal": money(4_100),
            "shipping": money(395),
            "adjustments": money(0),
            "total": money(4_495),
        }
        self.orders.orders[order_id] = orders_pb2.Order(order_id=order_id, email=email, **values | changes)
        return order_id

    def event(self, message: Message, *, key: str = "", **age: float) -> IncomingEvent:
        topic = message.DESCRIPTOR.file.package
        return incoming(message, key=key, topic=topic)._replace(time=self.clock.now() - timedelta(**age))

    async def hear(self, *messages: Message, **age: float) -> list[str]:
        """Events as the consumer would apply them, all in one batch; the outcomes in order."""
        events = [self.event(message, key="key", **age) for message in messages]
        outcomes = await hear(self.database, CONSUMER, handler(self.clock, self.settings.event_age_max), events)
        return [outcomes[event.id].value for event in events]

    async def states(self) -> list[str]:
        rows = await self.database.fetch("SELECT state FROM mails ORDER BY position")
        return [row["state"] for row in rows]

    async def incidents(self) -> list[str]:
        rows = await self.database.fetch("SELECT kind FROM incidents WHERE state = 'OPEN' ORDER BY opened_at, id")
        return [row["kind"] for row in rows]

    def mail(self) -> Mail:
        """The one mail that has arrived."""
        (mail,) = self.sink.mails()
        return mail


@asynccontextmanager
async def open_postroom(settings: EmailsSettings, sink: SmtpSink, clock: ManualClock) -> AsyncIterator[Postroom]:
    servicer = OrdersServicer()  # type: ignore[abstract]
    add = service_grpc.add_OrdersServiceServicer_to_server
    async with open_database(settings) as database, serving(settings, {add: servicer}) as channel:
        jobs = EmailsJobs(database, settings, clock, Orders(channel, timeout_s=2))
        yield Postroom(database, clock, jobs, sink, servicer, settings)
        await jobs.close()


def of(order_id: str) -> common_pb2.EventContext:
    return common_pb2.EventContext(order_id=order_id)


def processing(order_id: str) -> Message:
    return orders_events_pb2.OrderProcessing(context=of(order_id))


def shipped(order_id: str, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "carrier": "Royal Mail",
        "tracking_number": "RM123",
        "tracking_url": "https://track.example/RM123",
        "lines": [common_pb2.LineQuantity(line=1, sku="MUG", quantity=2)],
    }
    return orders_events_pb2.OrderShipped(context=of(order_id), **values | changes)


def stock_low() -> Message:
    context = inventory_events_pb2.LevelContext(sku="MUG", location="london")
    return inventory_events_pb2.StockLow(context=context, available=2, threshold=5)
