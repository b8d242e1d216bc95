"""The doors that the demo uses: calls to services, the customer's side of the providers, the mailbox.

Why: a customer has no other ways in either; nothing of the demo writes to a database or to Kafka.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
import httpx
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from services.chassis.grpc_client import channel
from simulators.client import SimulatorClient

T = TypeVar("T")
CALL_SECONDS: Final = 10.0
LONG_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.2
TRIES: Final = 40
# The same request id may be sent again after these: nothing is done twice (S-5).
AGAIN: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@dataclass(frozen=True)
class Doors:
    """Everything open; times in seconds."""

    orders: OrdersServiceStub
    payments: PaymentsServiceStub
    inventory: InventoryServiceStub
    world: SimulatorClient
    mailbox: httpx.AsyncClient
    call_seconds: float = CALL_SECONDS
    long_seconds: float = LONG_SECONDS


@asynccontextmanager
async def opened(variables: Mapping[str, str]) -> AsyncIterator[Doors]:
    """Open the doors of the stack that was told these variables."""
    token = variables["ONEFOLD_DEMO_TOKEN"]
    async with AsyncExitStack() as stack:

        async def to(service: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(channel(variables[f"ONEFOLD_DEMO_{service}_TARGET"], token))

        yield Doors(
            orders=OrdersServiceStub(await to("ORDERS")),
            payments=PaymentsServiceStub(await to("PAYMENTS")),
            inventory=InventoryServiceStub(await to("INVENTORY")),
            world=await stack.enter_async_context(
                SimulatorClient(f"http://127.0.0.1:{variables['ONEFOLD_SIMULATORS_PORT']}")
            ),
            mailbox=await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{variables['ONEFOLD_SMTP_HTTP_PORT']}")
            ),
        )


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call with a request id until it has an answer; a refusal is an answer and raised."""
    for left in reversed(range(TRIES)):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN or not left:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def mails(doors: Doors) -> list[dict[str, Any]]:
    """The heading of every mail that arrived."""
    answer = await doors.mailbox.get("/headings")
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found
