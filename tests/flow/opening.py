"""Puts a shop together: four services with their real wiring, gateway and simulators.

Why: what a test starts must be what the processes start, so every role is made by the service's own table of roles.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaConsumer
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from pydantic import SecretStr

from gateway.app import Gateway, build_app
from gateway.config import GatewaySettings
from gateway.ingest import fulfillment_ingest, payments_ingest
from ops.local import ports
from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.grpc_client import channel
from services.chassis.process import Component
from services.chassis.testing import TOKEN, settings_for
from services.fulfillment import __main__ as fulfillment
from services.fulfillment.config import FulfillmentSettings
from services.inventory import __main__ as inventory
from services.inventory.config import InventorySettings
from services.orders import __main__ as orders
from services.orders.config import OrdersSettings
from services.payments import __main__ as payments
from services.payments.config import PaymentsSettings
from simulators.app import RunningSimulators, listening, serve
from simulators.settings import SimulatorSettings
from simulators.shared.clock import SimulatorClock
from tests.flow.nodes import Node
from tests.flow.shop import TIMEOUT_S, Shop
from tests.flow.webhooks import PRINTFUL_SECRET, STRIPE_KEY, STRIPE_SECRET

PATIENCE_MS: Final = 10_000  # a machine under load is no fault
SERVICES: Final[Mapping[str, tuple[type[ServiceSettings], Mapping[str, Callable[..., Component]]]]] = {
    "orders": (OrdersSettings, orders.ROLES),
    "inventory": (InventorySettings, inventory.ROLES),
    "payments": (PaymentsSettings, payments.ROLES),
    "fulfillment": (FulfillmentSettings, fulfillment.ROLES),
}


@asynccontextmanager
async def open_shop(
    database: Callable[[str], Access], bootstrap: str, topic_prefix: str, **changes: Mapping[str, Any]
) -> AsyncIterator[Shop]:
    """Everything started; `changes` are settings by service."""
    clock = ManualClock(datetime.now(UTC))
    deaths: asyncio.Queue[Node] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        settings = SimulatorSettings(
            deliver=False, stripe_webhook_secret=STRIPE_SECRET, printful_webhook_secret=PRINTFUL_SECRET
        )
        sim = await stack.enter_async_context(serve(settings, SimulatorClock(lambda: clock.now().timestamp())))
        at = dict(zip(SERVICES, ports.free_ports(len(SERVICES)), strict=True))
        nodes = {}
        for name, (settings_class, roles) in SERVICES.items():
            values = _values(at, sim, bootstrap, topic_prefix)[name] | {"port": at[name], **changes.get(name, {})}
            node_settings = settings_for(settings_class, database(name).serving, **values)
            nodes[name] = Node(name, node_settings, roles, clock, deaths.put_nowait)
            await nodes[name].start()
            stack.push_async_callback(nodes[name].stop)
        channels = {
            name: await stack.enter_async_context(channel(f"{ports.HOST}:{at[name]}", TOKEN)) for name in SERVICES
        }
        gateway_url = await stack.enter_async_context(_gateway(channels, clock))
        await sim.client.webhooks.configure(
            stripe_url=f"{gateway_url}/webhooks/stripe", printful_url=f"{gateway_url}/webhooks/printful"
        )
        kafka = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        await kafka.start()
        stack.push_async_callback(kafka.stop)
        yield Shop(
            nodes=nodes,
            clock=clock,
            sim=sim,
            gateway_url=gateway_url,
            orders=OrdersServiceStub(channels["orders"]),
            inventory=InventoryServiceStub(channels["inventory"]),
            payments=PaymentsServiceStub(channels["payments"]),
            topic_prefix=topic_prefix,
            http=await stack.enter_async_context(httpx.AsyncClient(timeout=TIMEOUT_S)),
            deaths=deaths,
            kafka=kafka,
            kafka_bootstrap=bootstrap,
        )


def _values(at: Mapping[str, int], sim: RunningSimulators, bootstrap: str, prefix: str) -> dict[str, dict[str, Any]]:
    place = {name: f"{ports.HOST}:{port}" for name, port in at.items()}
    common = {"kafka_bootstrap": bootstrap, "topic_prefix": prefix, "pool_size": 8, "plumbing_retry_ms": 0}
    return {
        "orders": common
        | {
            "inventory_target": place["inventory"],
            "payments_target": place["payments"],
            "payable_ms": 1_800_000,
            "payments_timeout_ms": PATIENCE_MS,
            "inventory_timeout_ms": PATIENCE_MS,
        },
        "inventory": common | {"hold_ms": 600_000},
        "payments": common
        | {
            "stripe_secret_key": STRIPE_KEY,
            "stripe_api_base": sim.stripe_url,
            "public_origin": "https://shop.test",
            "provider_timeout_ms": PATIENCE_MS,
        },
        "fulfillment": common
        | {
            "orders_target": place["orders"],
            "inventory_target": place["inventory"],
            "provider_timeout_ms": PATIENCE_MS,
            "call_timeout_ms": PATIENCE_MS,
            "printful_token": "pf_test_onefold",
            "printful_store_id": "1",
            "printful_api_base": sim.printful_url,
            "watch_every_ms": 2_592_000_000,  # webhooks alone: else each hour moves all orders of other tests
        },
    }


@asynccontextmanager
async def _gateway(channels: Mapping[str, Any], clock: ManualClock) -> AsyncIterator[str]:
    """The gateway on a free port; its address."""
    settings = GatewaySettings(
        profile="test",
        stripe_webhook_secret=SecretStr(STRIPE_SECRET),
        printful_webhook_secret=SecretStr(PRINTFUL_SECRET),
    )
    gateway = Gateway(
        settings=settings,
        to_payments=payments_ingest(channels["payments"]),
        to_fulfillment=fulfillment_ingest(channels["fulfillment"]),
        clock=clock,
        ready=lambda: True,
    )
    async with listening(build_app(gateway)) as url:
        yield url
    await gateway.to_payments.close()
    await gateway.to_fulfillment.close()
