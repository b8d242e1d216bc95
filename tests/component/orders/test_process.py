"""The real processes of orders and inventory over the real Kafka: placed, paid, committed, watched."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2
from onefold.inventory.v1 import inventory_service_pb2 as inventory_service
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from ops.local.databases import Access
from services.chassis.grpc_client import channel
from services.chassis.outbox import outgoing
from services.chassis.testing import TOKEN
from tests.component.orders.shop import TIMEOUT_S, paid, wanted

PORT_LINE = b'"grpc_serving"'


@pytest.mark.serial
@pytest.mark.requirement("R-5.1", "R-2.15", "S-1", "S-2", "R-2.12")
async def test_an_order_is_placed_paid_and_watched_over_the_real_wire(
    database: Callable[[str], Access], kafka_bootstrap: str, topic_prefix: str
) -> None:
    def environment(service: str, **more: str) -> dict[str, str]:
        values = {
            "DATABASE_URL": database(service).serving,
            "KAFKA_BOOTSTRAP": kafka_bootstrap,
            "TOPIC_PREFIX": topic_prefix,
            "CALLER_TOKENS": f'{{"demo": "{TOKEN}"}}',
            "TOKEN": TOKEN,
            "PORT": "0",
            **more,
        }
        return {f"ONEFOLD_{service.upper()}_{name}": value for name, value in values.items()}

    async with (
        _process("inventory", environment("inventory")) as inventory_port,
        _process("orders", environment("orders", INVENTORY_TARGET=f"127.0.0.1:{inventory_port}")) as orders_port,
        channel(f"127.0.0.1:{inventory_port}", TOKEN) as to_inventory,
        channel(f"127.0.0.1:{orders_port}", TOKEN) as to_orders,
        AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True) as producer,
    ):
        await _stock(InventoryServiceStub(to_inventory))
        stub = OrdersServiceStub(to_orders)
        order = (await stub.CreateOrder(wanted(MUG=2), timeout=TIMEOUT_S)).order
        left = (await stub.CreateOrder(wanted(MUG=1), timeout=TIMEOUT_S)).order
        seen = asyncio.Event()
        watching = asyncio.create_task(_states_until(stub, order.order_id, "PROCESSING", seen))
        await asyncio.wait_for(seen.wait(), TIMEOUT_S)
        await _publish(producer, f"{topic_prefix}onefold.payments.v1", paid(order), order.order_id)
        async with asyncio.timeout(30):
            assert await watching == ["PENDING", "CONFIRMED", "PROCESSING"]
            left_now = left
            while left_now.cancellation != orders_pb2.CANCELLATION_STATE_REQUESTED:  # expired: its job runs, too
                request = service_pb2.WatchOrderRequest(order_id=left.order_id, after_version=left_now.version)
                async for response in stub.WatchOrder(request, timeout=30.0):
                    left_now = response.order
                    break
        assert left_now.cancellation_reason == orders_pb2.CANCELLATION_REASON_EXPIRED


async def _states_until(stub: OrdersServiceStub, order_id: str, last: str, seen: asyncio.Event) -> list[str]:
    states: list[str] = []
    async for response in stub.WatchOrder(service_pb2.WatchOrderRequest(order_id=order_id), timeout=30.0):
        state = orders_pb2.OrderState.Name(response.order.state).removeprefix("ORDER_STATE_")
        if state not in states:
            states.append(state)
        seen.set()
        if state == last:
            return states
    raise AssertionError(f"the stream ended after {states}")


async def _stock(stub: InventoryServiceStub) -> None:
    price = common_pb2.Money(amount_minor=1_000, currency="GBP")
    item = inventory_pb2.Item(sku="MUG", name="Mug", prices=[price], available=True)
    await stub.UpsertItems(inventory_service.UpsertItemsRequest(request_id="items", items=[item]), timeout=TIMEOUT_S)
    change = inventory_service.StockAdjustment(sku="MUG", location="london", delta=5)
    request = inventory_service.AdjustStockRequest(request_id="s", adjustments=[change], reason="new", actor="test")
    await stub.AdjustStock(request, timeout=TIMEOUT_S)


async def _publish(producer: AIOKafkaProducer, topic: str, message: Message, key: str) -> None:
    event = outgoing(message, key=key, now=datetime.now(UTC))
    headers = {
        "ce_id": event.id,
        "ce_type": event.type,
        "ce_source": "onefold/payments",
        "ce_specversion": "1.0",
        "ce_time": event.occurred_at.isoformat(),
    }
    encoded = [(name, value.encode()) for name, value in headers.items()]
    await producer.send_and_wait(topic, event.payload, key=key.encode(), headers=encoded)


@asynccontextmanager
async def _process(service: str, environment: dict[str, str]) -> AsyncIterator[int]:
    """`python -m services.<service> all`; its gRPC port."""
    more = {"ONEFOLD_PROFILE": "test", "ONEFOLD_ORDERS_PAYABLE_MS": "3000"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", "all",
        env={**os.environ, **more, **environment}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while PORT_LINE not in (line := await process.stdout.readline()):
                assert line, "the process ended"
        rest = asyncio.create_task(process.stdout.read())
        yield int(line.partition(b'"port":')[2].strip(b" }\n").split(b",")[0])
        process.terminate()
        async with asyncio.timeout(20):
            await rest
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
