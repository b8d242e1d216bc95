"""A provider that is slow holds up nobody else: calls to payments wait in bounded room, and reading waits for none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import pytest
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as payments_service
from onefold.payments.v1 import payments_service_pb2_grpc as payments_grpc

from ops.local.databases import Access
from services.chassis.clock import ManualClock
from services.chassis.errors import DependencyUnavailable, Overloaded
from services.chassis.grpc_client import channel
from services.chassis.testing import TOKEN
from services.orders.partners import Payments
from services.orders.usecases.commands import PaymentOrder
from tests.component.orders.shop import TIMEOUT_S, open_shop, wanted

ORDER = PaymentOrder("order", "number", 100, "GBP", "INTENT", False, datetime(2026, 3, 2, tzinfo=UTC), "")


class Slow(payments_grpc.PaymentsServiceServicer):
    """Payments with a provider that never answers; reading works, or is broken."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.defect = False

    async def CreatePayment(self, request: object, context: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()

    ConfirmPayment = IngestWebhooks = ReconcilePayments = CreatePayment

    async def GetPayment(self, request: object, context: Any) -> payments_service.GetPaymentResponse:
        if self.defect:
            await context.abort(grpc.StatusCode.INTERNAL, "a defect")
        attempt = payments_pb2.Attempt(state=payments_pb2.ATTEMPT_STATE_PAYABLE, attempt_id="one")
        return payments_service.GetPaymentResponse(
            payment=payments_pb2.Payment(attempts=[attempt]), client_secret="secret"
        )


@asynccontextmanager
async def slow_payments() -> AsyncIterator[tuple[Slow, str]]:
    server, slow = grpc.aio.server(), Slow()
    payments_grpc.add_PaymentsServiceServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield slow, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def calling(address: str, timeout_s: float) -> AsyncIterator[Payments]:
    async with channel(address, TOKEN) as opened:
        yield Payments(opened, timeout_s, read_timeout_s=timeout_s, in_flight_max=1, waiting_max=1)


@pytest.mark.requirement("S-2", "S-5")
async def test_reading_an_order_waits_for_no_create(emptied: Callable[[str], Access], clock: ManualClock) -> None:
    async with (
        slow_payments() as (slow, address),
        open_shop(emptied, clock, payments_target=address, payments_in_flight_max=1) as shop,
    ):
        await shop.stocked("MUG", 5)
        request = wanted(MUG=1)
        request.payment_flow = orders_pb2.PAYMENT_FLOW_INTENT
        creating = asyncio.create_task(shop.create(request))
        await slow.asked.wait()
        read = service_pb2.GetOrderRequest(order_id=str(await shop.database.fetchval("SELECT order_id FROM orders")))
        assert (await shop.stub.GetOrder(read, timeout=TIMEOUT_S)).payment.client_secret == "secret"

        slow.defect = True
        shown = await shop.stub.GetOrder(read, timeout=TIMEOUT_S)
        assert shown.order.order_id == read.order_id and not shown.HasField("payment")
        creating.cancel()


async def test_a_create_that_finds_no_room_is_refused() -> None:
    async with slow_payments() as (slow, address), calling(address, TIMEOUT_S) as payments, asyncio.timeout(TIMEOUT_S):
        tasks = [asyncio.create_task(payments.create(ORDER))]
        await slow.asked.wait()
        tasks.append(asyncio.create_task(payments.create(ORDER)))
        await asyncio.sleep(0)  # it has taken the only place to wait in
        with pytest.raises(Overloaded):
            await payments.create(ORDER)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_create_waits_for_room_within_its_deadline() -> None:
    async with slow_payments() as (_, address), calling(address, 0.05) as payments, payments._creating.taken(1):
        with pytest.raises(DependencyUnavailable):
            async with asyncio.timeout(5):
                await payments.create(ORDER)
