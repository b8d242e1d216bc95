"""The whole of Onefold in one process: four services, gateway and simulators on real PostgreSQL and Kafka.

Why: a test says what customers, providers and time do and where processes die; `settle` lets everything else happen
step by step until nothing moves, so that a test never waits for a time.
"""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import grpc.aio
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2
from onefold.inventory.v1 import inventory_service_pb2 as inventory_service
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from ops.local import topics
from services.chassis.clock import ManualClock
from services.chassis.errors import DomainError, from_rpc_error
from services.chassis.ids import new_id
from services.chassis.testing import wait_until
from simulators.app import RunningSimulators
from tests.flow.nodes import Node, attended
from tests.flow.webhooks import Webhooks

READS: Final[Mapping[str, tuple[str, ...]]] = {  # the star (S-1)
    "orders": ("payments", "inventory", "fulfillment"),
    "inventory": ("orders",),
    "payments": ("orders",),
    "fulfillment": ("orders",),
}
TIMEOUT_S: Final = 10.0
ROUNDS: Final = 200
POLLS: Final = 60  # of half a second each
THOROUGH: Final = os.environ.get("ONEFOLD_FLOW") == "thorough"  # every point of a proof, not some of them
_FETCH_MS: Final = 50
TRY_AGAIN: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED)
ADDRESS: Final = common_pb2.Address(
    name="Ada Lovelace", line1="12 St James's Square", city="London", postal_code="SW1Y 4JH", country_code="GB"
)
LEASES_END: Final = {
    "operations": "UPDATE operations SET lease_until = NULL, next_try_at = least(next_try_at, $1) "
    "WHERE settled_at IS NULL",
    "idempotency_keys": "UPDATE idempotency_keys SET lease_until = clock_timestamp() - interval '1 second' "
    "WHERE lease_until > clock_timestamp()",
}


@dataclass(frozen=True)
class Event:
    """What a topic says: the event's id, its type without the package, and the order that it is about."""

    id: str
    kind: str
    key: str


@dataclass
class Shop(Webhooks):
    """What a test sees of it, and what it can do."""

    nodes: dict[str, Node]
    clock: ManualClock
    sim: RunningSimulators
    gateway_url: str
    orders: OrdersServiceStub
    inventory: InventoryServiceStub
    payments: PaymentsServiceStub
    topic_prefix: str
    http: httpx.AsyncClient
    deaths: "asyncio.Queue[Node]"
    kafka: AIOKafkaConsumer  # only asked where topics end: reading would make each question wait
    kafka_bootstrap: str
    variants: dict[str, int] = field(default_factory=dict)

    # ---- what customers and the shop do ----

    async def stocked(self, sku: str, units: int, price: int = 1_000) -> str:
        """An item at `price` GBP with units at one location."""
        self.variants.setdefault(sku, 4_000 + len(self.variants))
        item = inventory_pb2.Item(
            sku=sku,
            name=f"Name of {sku}",
            available=True,
            prices=[common_pb2.Money(amount_minor=price, currency="GBP")],
            variant_ids={"printful_variant_id": str(self.variants[sku])},
        )
        upsert = inventory_service.UpsertItemsRequest(request_id=new_id(), items=[item])
        await self.inventory.UpsertItems(upsert, timeout=TIMEOUT_S)
        change = inventory_service.StockAdjustment(sku=sku, location="london", delta=units)
        adjust = inventory_service.AdjustStockRequest(
            request_id=new_id(), adjustments=[change], reason="new", actor="test"
        )
        await self.inventory.AdjustStock(adjust, timeout=TIMEOUT_S)
        return sku

    async def create(self, request: service_pb2.CreateOrderRequest) -> service_pb2.CreateOrderResponse:
        """CreateOrder by a caller who repeats the same request until it is answered; who dies under it is replaced."""

        async def attempt() -> service_pb2.CreateOrderResponse | None:
            try:
                return await self.during(self.orders.CreateOrder(request, timeout=TIMEOUT_S))
            except grpc.aio.AioRpcError as error:
                if error.code() not in TRY_AGAIN:
                    raise
            await self.pass_time(minutes=1)
            return None

        created: service_pb2.CreateOrderResponse = await wait_until(attempt, within=2 * TIMEOUT_S)
        return created

    async def order(self, **lines: int) -> service_pb2.CreateOrderResponse:
        """A placed order of these SKUs and how to pay it."""
        return await self.create(wanted("", **lines))

    async def get(self, order_id: str) -> orders_pb2.Order:
        request = service_pb2.GetOrderRequest(order_id=order_id)
        return (await self.orders.GetOrder(request, timeout=TIMEOUT_S)).order

    async def state(self, order_id: str) -> str:
        return orders_pb2.OrderState.Name((await self.get(order_id)).state).removeprefix("ORDER_STATE_")

    async def pay(self, created: service_pb2.CreateOrderResponse, method: str = "pm_card_visa") -> str:
        """The customer pays at the provider; the intent's status there."""
        return (await self.sim.client.stripe.confirm(created.payment.client_secret, method)).status

    async def cancel(self, order_id: str, request_id: str = "") -> None:
        request = service_pb2.CancelOrderRequest(
            request_id=request_id or new_id(), order_id=order_id, reason=orders_pb2.CANCELLATION_REASON_CUSTOMER
        )
        await self.orders.CancelOrder(request, timeout=TIMEOUT_S)

    async def ship(self, order_id: str) -> None:
        """All that is left goes out in one parcel, and its webhook is queued."""
        await self.sim.client.printful.ship(self.external_id(order_id))

    async def deliver(self, order_id: str) -> None:
        await self.sim.client.printful.deliver(self.external_id(order_id))

    def external_id(self, order_id: str, number: int = 1) -> str:
        """What an order is called at Printful."""
        name = base64.b32encode(uuid.UUID(order_id).bytes).decode().rstrip("=")
        return f"{name}-{number}"

    # ---- what happens by itself ----

    async def during(self, work: Coroutine[Any, Any, Any] | Any) -> Any:
        """`work`, while who dies is replaced."""

        async def awaited() -> Any:
            return await work

        return await attended(awaited(), self.deaths)

    async def settle(self) -> None:
        """Relays, consumers, jobs and webhooks, one after the other, until nothing moves."""
        async for _ in self.moves():
            pass

    async def moves(self) -> AsyncGenerator[str, None]:
        """The same, step by step: a name for each step that moved something. Stop after any of them."""
        for _ in range(ROUNDS):
            is_quiet = True
            async for name in self._round():
                is_quiet = False
                yield name
            if is_quiet:
                return
        raise AssertionError(f"still moving after {ROUNDS} rounds")

    async def _round(self) -> AsyncIterator[str]:
        nodes = self.nodes.values()
        for node in nodes:
            if await self.during(node.relay()):
                yield f"{node.name} relays"
        ends = await self.ends()
        for node in nodes:
            while await self._consume(node, sum(ends[topic] for topic in READS[node.name])):
                yield f"{node.name} consumes"
        for node in nodes:
            for job in node.jobs():
                if await self.during(job.run_once()):
                    yield job.name
        report = await self.during(self.sim.client.webhooks.deliver(late=True))
        if report and report.sent:
            yield "webhooks"

    async def _consume(self, node: Node, end: int) -> int:
        """One batch, if there is one; waits for Kafka to bring it."""
        for _ in range(POLLS):
            if node.read >= end:
                return 0
            if read := await self.during(node.consume()):
                return int(read)
        raise AssertionError(f"{node.name} does not get what there is")

    async def ends(self) -> dict[str, int]:
        """Service -> events that its topic has ever had."""
        wanted_ends = [
            TopicPartition(topics.topic_of(name, self.topic_prefix), partition)
            for name in self.nodes
            for partition in range(topics.PARTITIONS)
        ]
        found = await self.kafka.end_offsets(wanted_ends)
        return {
            name: sum(found[place] for place in wanted_ends if place.topic.endswith(f".{name}.v1"))
            for name in self.nodes
        }

    async def pass_time(self, **duration: float) -> None:
        """Time goes by, for us and for the providers, and leases of the dead end."""
        self.clock.advance(timedelta(**duration))
        for node in self.nodes.values():
            for table, statement in LEASES_END.items():
                arguments = [self.clock.now()] if table == "operations" else []
                await node.database.fetch(statement, *arguments)

    # ---- what a test looks at ----

    async def events(self, service: str) -> list[Event]:
        """Every event on a service's topic, repetitions included, in the order of partition and offset."""
        name = topics.topic_of(service, self.topic_prefix)
        places = [TopicPartition(name, partition) for partition in range(topics.PARTITIONS)]
        there = sum((await self.kafka.end_offsets(places)).values())
        found: list[Event] = []
        reader = AIOKafkaConsumer(bootstrap_servers=self.kafka_bootstrap, fetch_max_wait_ms=_FETCH_MS)
        await reader.start()
        try:
            reader.assign(places)
            await reader.seek_to_beginning(*places)
            while len(found) < there:
                for records in (await reader.getmany(timeout_ms=_FETCH_MS)).values():
                    for record in records:
                        headers = dict(record.headers)
                        kind = headers["ce_type"].decode().rpartition(".")[2]
                        found.append(Event(headers["ce_id"].decode(), kind, record.key.decode()))
        finally:
            await reader.stop()
        return found

    async def rows(self, service: str, sql: str, *arguments: Any) -> list[Any]:
        """Rows of a service's database."""
        return list(await self.nodes[service].database.fetch(sql, *arguments))

    async def value(self, service: str, sql: str, *arguments: Any) -> Any:
        """The first value."""
        return await self.nodes[service].database.fetchval(sql, *arguments)

    async def available(self, sku: str) -> int:
        return int(await self.value("inventory", "SELECT on_hand - reserved FROM stock WHERE sku = $1", sku))


def wanted(request_id: str = "", **lines: int) -> service_pb2.CreateOrderRequest:
    """A request for these SKUs in GBP, paid by an intent."""
    return service_pb2.CreateOrderRequest(
        request_id=request_id or new_id(),
        lines=[service_pb2.CartLine(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
        currency="GBP",
        email="ada@example.org",
        shipping_address=ADDRESS,
        payment_flow=orders_pb2.PAYMENT_FLOW_INTENT,
    )


async def refusal(call: Any) -> DomainError:
    """The error that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the call was not refused")
