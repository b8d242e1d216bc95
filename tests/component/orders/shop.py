"""Orders with the real inventory behind it, and the real payments where a test wants it; Kafka is a loop of ours.

Why: a test says what a caller, a partner or time does, and then looks at answers, rows and events.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1 import orders_service_pb2_grpc as service_grpc
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.consumer import Handler
from services.chassis.db import Database
from services.chassis.errors import DomainError, from_rpc_error
from services.chassis.grpc_client import channel
from services.chassis.grpc_server import Server
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent
from services.chassis.testing import TOKEN, hear, incoming, open_database, said, settings_for
from services.inventory import domain as inventory_domain
from services.inventory import usecases as inventory_usecases
from services.inventory.config import InventorySettings
from services.inventory.events import CONSUMER as INVENTORY_CONSUMER
from services.inventory.events import handler as inventory_handler
from services.inventory.jobs import InventoryJobs
from services.inventory.rpc import InventoryServicer
from services.orders.config import OrdersSettings
from services.orders.events import CONSUMER, EventsDoor
from services.orders.jobs import OrdersJobs
from services.orders.messages import place_order_of
from services.orders.placement import Placement
from services.orders.rpc import OrdersServicer
from services.orders.usecases.commands import PlaceOrder
from services.orders.watching import Watching
from services.payments.events import CONSUMER as PAYMENTS_CONSUMER
from services.payments.events import handler as payments_handler
from tests.component.payments.counter import Counter

TIMEOUT_S = 10.0
ADDRESS = common_pb2.Address(
    name="Ada Lovelace", line1="12 St James's Square", city="London", postal_code="SW1Y 4JH", country_code="GB"
)
FEES = {"GBP": 395}
OPEN_HOLDS = "SELECT count(*) FROM holds WHERE state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED')"


@dataclass
class Shop:
    """The service, its partners and what a test asks of them."""

    database: Database
    settings: OrdersSettings
    clock: ManualClock
    placement: Placement
    watching: Watching
    stub: service_grpc.OrdersServiceStub
    stock: Database
    jobs: OrdersJobs
    stock_jobs: InventoryJobs
    carried: dict[str, int] = field(default_factory=dict)

    async def stocked(self, sku: str, units: int, price: int = 1_000, **prices: int) -> str:
        """An item at `price` GBP with units at one location."""
        item = inventory_domain.Item(sku, f"Name of {sku}", {"GBP": price, **prices})
        change = inventory_domain.Adjustment(sku, "london", units)
        now = self.clock.now()
        await self.stock.run(lambda tx: inventory_usecases.upsert_items(tx, [item], "", now))
        await self.stock.run(
            lambda tx: inventory_usecases.adjust_stock(tx, [change], reason="new", actor="test", caused_by="", now=now)
        )
        return sku

    async def create(self, request: service_pb2.CreateOrderRequest) -> service_pb2.CreateOrderResponse:
        return await self.stub.CreateOrder(request, timeout=TIMEOUT_S)

    async def order(self, **lines: int) -> orders_pb2.Order:
        """A placed order of these SKUs, whose payment begins later."""
        return (await self.create(wanted("", **lines))).order

    async def get(self, order_id: str) -> orders_pb2.Order:
        return (await self.stub.GetOrder(service_pb2.GetOrderRequest(order_id=order_id), timeout=TIMEOUT_S)).order

    async def cancel(self, order_id: str, reason: str = "CUSTOMER", **more: Any) -> orders_pb2.Order:
        request = service_pb2.CancelOrderRequest(
            request_id=more.pop("request_id", new_id()),
            order_id=order_id,
            reason=orders_pb2.CancellationReason.Value(f"CANCELLATION_REASON_{reason}"),
            **more,
        )
        return (await self.stub.CancelOrder(request, timeout=TIMEOUT_S)).order

    async def hear(self, *messages: Message, offset: int = 0) -> list[str]:
        """Facts of partners as the consumer would apply them, all in one batch; the outcomes in order."""
        events = [incoming(message, key=_key(message), offset=offset + i) for i, message in enumerate(messages)]
        outcomes = await self.apply(events)
        return [outcomes[event.id].value for event in events]

    async def apply(self, events: Sequence[IncomingEvent]) -> dict[str, Any]:
        door = EventsDoor(self.clock, self.settings.policies)
        return dict(await hear(self.database, CONSUMER, door, events))

    async def said(self, order_id: str) -> list[str]:
        """Names of the events about an order so far, in order."""
        return [message.DESCRIPTOR.name for message in await said(self.database, order_id)]

    async def carry(self, counter: Counter | None = None) -> None:
        """What Kafka would bring: the star's events, until all are silent; payments takes part if it is given."""
        door = EventsDoor(self.clock, self.settings.policies)
        ways: list[tuple[Database, Database, str, Handler]] = [
            (self.database, self.stock, INVENTORY_CONSUMER, inventory_handler(self.clock)),
            (self.stock, self.database, CONSUMER, door),
        ]
        if counter is not None:
            ways.append((self.database, counter.database, PAYMENTS_CONSUMER, payments_handler(counter.context)))
            ways.append((counter.database, self.database, CONSUMER, door))
        while True:
            moved = 0
            for way in ways:
                moved += await self.bring(*way)
            if counter is not None:
                await counter.settle_operations()
            if not moved:
                return

    async def bring_to_payments(self, counter: Counter) -> None:
        """Orders' events to payments, and no answers back."""
        await self.bring(self.database, counter.database, PAYMENTS_CONSUMER, payments_handler(counter.context))

    async def bring(self, source: Database, target: Database, consumer: str, handler: Handler) -> int:
        """New events in the outbox of one to the consumer of another, in one batch."""
        mark = f"{source.dsn} {consumer}"
        rows = await source.fetch(
            "SELECT position, id::text, type, aggregateid, payload FROM outbox WHERE position > $1 ORDER BY position",
            self.carried.get(mark, 0),
        )
        if not rows:
            return 0
        self.carried[mark] = rows[-1]["position"]
        events = [_event(row, self.clock.now()) for row in rows]
        await hear(target, consumer, handler, events)
        return len(rows)

    async def let_leases_end(self) -> None:
        """As if every try that holds a key had died long ago."""
        await self.database.fetch("UPDATE idempotency_keys SET lease_until = clock_timestamp() - interval '1 second'")

    async def phases(self) -> list[str]:
        rows = await self.database.fetch("SELECT phase FROM idempotency_keys WHERE method = 'CreateOrder'")
        return sorted(row["phase"] for row in rows)

    async def count(self, table: str) -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table}"))

    async def open_holds(self) -> int:
        return int(await self.stock.fetchval(OPEN_HOLDS))

    async def available(self, sku: str) -> int:
        return int(await self.stock.fetchval("SELECT on_hand - reserved FROM stock WHERE sku = $1", sku))

    async def incidents(self) -> list[str]:
        rows = await self.database.fetch("SELECT kind FROM incidents WHERE state = 'OPEN' ORDER BY kind")
        return [row["kind"] for row in rows]


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[str]:
    """Serve on a free port; its address."""
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


@asynccontextmanager
async def open_shop(
    database: Callable[[str], Access], clock: ManualClock, *, payments_target: str = "127.0.0.1:1", **changes: Any
) -> AsyncIterator[Shop]:
    """One process' worth of orders and of inventory; payments is away unless its address is given."""
    async with AsyncExitStack() as stack:
        stock_settings = settings_for(InventorySettings, database("inventory").serving, pool_size=6, hold_ms=600_000)
        stock = await stack.enter_async_context(open_database(stock_settings))
        inventory = InventoryServicer(stock, stock_settings, clock)
        stack.push_async_callback(inventory.close)
        server = Server(stock_settings)
        server.add(add_InventoryServiceServicer_to_server, inventory)
        values = {
            "inventory_target": await stack.enter_async_context(listening(server)),
            "payments_target": payments_target,
            "payments_timeout_ms": 5_000,
            "shipping_fees": FEES,
            "pool_size": 8,
            **changes,
        }
        settings = settings_for(OrdersSettings, database("orders").serving, **values)
        db = await stack.enter_async_context(open_database(settings))
        placement = await stack.enter_async_context(Placement(db, settings, clock))
        watching = Watching(db, poll_s=settings.watch_poll_ms / 1000, most=settings.watchers_max)
        orders = Server(settings)
        orders.add(
            service_grpc.add_OrdersServiceServicer_to_server,
            OrdersServicer(db, settings, clock, placement, watching),
        )
        address = await stack.enter_async_context(listening(orders))
        stub = service_grpc.OrdersServiceStub(await stack.enter_async_context(channel(address, TOKEN)))
        jobs = OrdersJobs(db, settings, clock, placement.completer)
        stock_jobs = InventoryJobs(stock, stock_settings, clock)
        yield Shop(db, settings, clock, placement, watching, stub, stock, jobs, stock_jobs)


def wanted(request_id: str = "", **lines: int) -> service_pb2.CreateOrderRequest:
    """A request for these SKUs in GBP, whose payment begins later."""
    return service_pb2.CreateOrderRequest(
        request_id=request_id or new_id(),
        lines=[service_pb2.CartLine(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
        currency="GBP",
        email="ada@example.org",
        shipping_address=ADDRESS,
        payment_flow=orders_pb2.PAYMENT_FLOW_DEFERRED,
    )


def command(request: service_pb2.CreateOrderRequest) -> PlaceOrder:
    """The same as the door would understand it."""
    return place_order_of(request, "demo")


async def refusal(call: Any) -> DomainError:
    """The error that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the call was not refused")


def context(order_id: str, version: int = 1, at: datetime | None = None) -> common_pb2.EventContext:
    message = common_pb2.EventContext(order_id=order_id, version=version)
    message.occurred_at.FromDatetime(at or datetime(2026, 3, 2, 9, 31, tzinfo=UTC))
    return message


def snapshot(order: orders_pb2.Order, verdict: str, captured: int = 0, **more: Any) -> payments_pb2.PayableSnapshot:
    return payments_pb2.PayableSnapshot(
        verdict=payments_pb2.Verdict.Value(f"VERDICT_{verdict}"),
        captured_minor=captured,
        due_minor=order.total.amount_minor,
        currency=order.total.currency,
        dispute=payments_pb2.DISPUTE_STATE_NONE,
        **more,
    )


def paid(order: orders_pb2.Order, version: int = 2) -> payments_events_pb2.PaymentSucceeded:
    """All that is due has come."""
    return payments_events_pb2.PaymentSucceeded(
        context=context(order.order_id, version),
        snapshot=snapshot(order, "PAID", order.total.amount_minor),
        attempt_id="attempt",
        provider_object_id=f"pi_{order.order_id}",
    )


def units(order: orders_pb2.Order) -> list[common_pb2.LineQuantity]:
    """All units of an order."""
    return [common_pb2.LineQuantity(line=each.line, sku=each.sku, quantity=each.quantity) for each in order.lines]


def _key(message: Any) -> str:
    return str(message.context.order_id)


def _event(row: Any, now: datetime) -> IncomingEvent:
    return IncomingEvent(
        id=row["id"],
        type=row["type"],
        source="test",
        time=now,
        key=row["aggregateid"],
        topic=row["type"].rpartition(".")[0],
        partition=0,
        offset=row["position"],
        traceparent="",
        payload=row["payload"],
    )
