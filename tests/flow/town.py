"""Onefold as processes of its own, each of which a test can kill or pause, and customers who do not give up.

Why: a process that is paused for longer than its leases, or killed at any moment, is what no test in one process shows.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio
import httpx
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2
from onefold.inventory.v1 import inventory_service_pb2 as inventory_service
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from ops.audit.sources import Places
from ops.local import ports
from ops.local.environment import Ports, readiness
from ops.local.stack import Stack, is_ready
from services.chassis.grpc_client import channel
from services.chassis.ids import new_id
from services.chassis.testing import wait_until
from simulators.client import SimulatorClient
from tests.flow.shop import ADDRESS, TRY_AGAIN

CALL_S: Final = 5.0
PATIENCE_S: Final = 90.0
SETTINGS: Final = {
    "ONEFOLD_ORDERS_PAYABLE_MS": "600000",
    "ONEFOLD_INVENTORY_HOLD_MS": "600000",
    "ONEFOLD_PAYMENTS_PROVIDER_TIMEOUT_MS": "2000",  # leases of calls to providers last three times as long
    "ONEFOLD_FULFILLMENT_PROVIDER_TIMEOUT_MS": "2000",
    "ONEFOLD_FULFILLMENT_TRY_PAUSES_MS": "[500,1000,1000,1000,2000,2000,2000,5000,5000,5000]",
    "ONEFOLD_SIMULATORS_AUTO": "true",
    "ONEFOLD_SIMULATORS_STRIPE_WEBHOOK_TYPES": "payment_intent.*",
}
PROCESSES: Final = {
    "simulators": "python -m simulators",
    "inventory": "python -m services.inventory all",
    "payments": "python -m services.payments all",
    "orders": "python -m services.orders serve",
    "orders-relay-1": "python -m services.orders relay",
    "orders-relay-2": "python -m services.orders relay",
    "orders-consume-1": "python -m services.orders consume",
    "orders-consume-2": "python -m services.orders consume",
    "orders-jobs": "python -m services.orders jobs",
    "fulfillment": "python -m services.fulfillment all",
    "gateway": "python -m gateway",
    "smtp": "python -m ops.local.smtp",
    "emails": "python -m consumers.emails",
    "analytics": "python -m consumers.analytics",
}
OF_THE_STACK: Final = ("gateway", "simulators", "smtp")  # they say that they are ready where the local stack says


@dataclass
class Town:
    """The processes, and doors to them."""

    stack: Stack
    health: Mapping[str, int]
    orders: OrdersServiceStub
    inventory: InventoryServiceStub
    sim: SimulatorClient

    def start(self, name: str) -> None:
        """Start a process; it is ready some time later."""
        process = name.partition("-")[0]
        extra = {f"ONEFOLD_{process.upper()}_HEALTH_PORT": str(self.health[name])} if name in self.health else {}
        self.stack.start_process(name, PROCESSES[name].split(), extra=extra)

    async def ready(self, *names: str) -> None:
        def are_ready() -> bool:
            return all(is_ready(self._url(name)) for name in names)

        await wait_until(lambda: asyncio.to_thread(are_ready), within=PATIENCE_S)

    def killed(self, name: str) -> None:
        """SIGKILL, and a new one in its place; a consumer has partitions again when Kafka gives up its predecessor."""
        self.stack.processes[name].kill()
        self.start(name)

    def paused(self, name: str) -> None:
        self.stack.processes[name].signal(signal.SIGSTOP)

    def resumed(self, name: str) -> None:
        self.stack.processes[name].signal(signal.SIGCONT)

    async def stocked(self, skus: list[str], units: int) -> None:
        """Items at 1,000 GBP minor units."""
        items = [
            inventory_pb2.Item(
                sku=sku,
                name=sku,
                available=True,
                prices=[common_pb2.Money(amount_minor=1_000, currency="GBP")],
                variant_ids={"printful_variant_id": str(4_000 + number)},
            )
            for number, sku in enumerate(skus)
        ]
        upsert = inventory_service.UpsertItemsRequest(request_id=new_id(), items=items)
        await self.inventory.UpsertItems(upsert, timeout=CALL_S)
        changes = [inventory_service.StockAdjustment(sku=sku, location="london", delta=units) for sku in skus]
        adjust = inventory_service.AdjustStockRequest(
            request_id=new_id(), adjustments=changes, reason="new", actor="test"
        )
        await self.inventory.AdjustStock(adjust, timeout=CALL_S)

    async def buy(self, sku: str) -> str:
        """A customer who repeats the same request until it is answered, and pays; the order's id."""
        request = service_pb2.CreateOrderRequest(
            request_id=new_id(),
            lines=[service_pb2.CartLine(sku=sku, quantity=1)],
            currency="GBP",
            email="ada@example.org",
            shipping_address=ADDRESS,
            payment_flow=orders_pb2.PAYMENT_FLOW_INTENT,
        )

        async def attempt() -> service_pb2.CreateOrderResponse | None:
            created = await self.tried(self.orders.CreateOrder(request, timeout=CALL_S))
            return created if created and created.payment.client_secret else None

        created = await wait_until(attempt, within=PATIENCE_S)
        await self.sim.stripe.confirm(created.payment.client_secret, "pm_card_visa")
        return str(created.order.order_id)

    async def tried(self, call: Any) -> Any:
        """The answer, or None when the way to the service is broken."""
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRY_AGAIN:
                raise
            await asyncio.sleep(0.1)  # as a customer's browser would
        return None

    async def all_orders(self) -> dict[str, str]:
        """Order id -> state."""
        found: dict[str, str] = {}
        request = service_pb2.ListOrdersRequest(page_size=200)
        while True:
            answer = await self.tried(self.orders.ListOrders(request, timeout=CALL_S))
            if answer is None:
                continue
            found |= {each.order_id: orders_pb2.OrderState.Name(each.state) for each in answer.orders}
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    def places(self) -> Places:
        """For the audit; without the mailbox, for a sender that is killed may send a letter again (R-5.4)."""
        variables = dict(self.stack.environment)
        del variables["ONEFOLD_SMTP_HTTP_PORT"]
        return Places.told_by(variables)

    async def letters(self) -> list[str]:
        """The Message-ID of every mail that arrived."""
        async with httpx.AsyncClient() as http:
            headings = (await http.get(f"http://{ports.HOST}:{self.stack.at.smtp_http}/headings")).json()
        return [str(heading["message_id"]) for heading in headings]

    def _url(self, name: str) -> str:
        if name in OF_THE_STACK:
            return readiness(self.stack.at)[name]
        return f"http://{ports.HOST}:{self.health[name]}/readyz"


@asynccontextmanager
async def open_town(folder: Path) -> AsyncIterator[Town]:
    """Servers and all processes, ready; all of it is gone afterwards."""
    stack = Stack(folder / "town", at=Ports.free(), profile="test", extra=SETTINGS, commands={})
    with_health = [name for name in PROCESSES if name not in OF_THE_STACK]
    health = dict(zip(with_health, ports.free_ports(len(with_health)), strict=True))
    async with AsyncExitStack() as exits:
        exits.callback(_gone(stack))
        stack.start_servers()
        channels = {
            name: await exits.enter_async_context(
                channel(f"{ports.HOST}:{getattr(stack.at, name)}", stack.secrets.tokens["demo"])
            )
            for name in ("orders", "inventory")
        }
        sim = await exits.enter_async_context(SimulatorClient(f"http://{ports.HOST}:{stack.at.simulators}"))
        town = Town(
            stack, health, OrdersServiceStub(channels["orders"]), InventoryServiceStub(channels["inventory"]), sim
        )
        for name in PROCESSES:
            town.start(name)
        await town.ready(*PROCESSES)
        yield town


def _gone(stack: Stack) -> Callable[[], None]:
    def end() -> None:
        for child in stack.processes.values():
            child.kill()
        stack.processes.clear()
        stack.kafka.purge()
        stack.postgres.purge()

    return end
