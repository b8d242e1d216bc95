"""The real processes: calls in, webhooks in, events of orders in, events out."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from onefold.common.v1 import common_pb2
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1 import payments_service_pb2_grpc as service_grpc

from ops.local.databases import Access
from services.chassis.grpc_client import channel
from services.chassis.ids import new_id
from services.chassis.outbox import outgoing
from services.chassis.testing import TOKEN, wait_until
from simulators.app import RunningSimulators
from tests.component.payments.counter import cancellation

PORT_LINE = b'"grpc_serving"'


@pytest.mark.serial
@pytest.mark.requirement("S-9", "R-5.1", "S-2")
async def test_all_roles_in_one_process(
    database: Callable[[str], Access], kafka_bootstrap: str, topic_prefix: str, sim: RunningSimulators
) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    environment = {
        "ONEFOLD_PROFILE": "test",
        "ONEFOLD_PAYMENTS_DATABASE_URL": database("payments").serving,
        "ONEFOLD_PAYMENTS_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "ONEFOLD_PAYMENTS_TOPIC_PREFIX": topic_prefix,
        "ONEFOLD_PAYMENTS_CALLER_TOKENS": f'{{"demo": "{TOKEN}"}}',
        "STRIPE_SECRET_KEY": "sk_test_onefold",
        "ONEFOLD_PAYMENTS_STRIPE_API_BASE": sim.stripe_url,
        "ONEFOLD_PAYMENTS_PORT": "0",
    }
    order_id = new_id()
    async with _process(environment) as port, channel(f"127.0.0.1:{port}", TOKEN) as opened:
        stub = service_grpc.PaymentsServiceStub(opened)
        request = service_pb2.CreatePaymentRequest(
            request_id="r",
            order_id=order_id,
            due=common_pb2.Money(amount_minor=1_000, currency="GBP"),
            flow=payments_pb2.FLOW_INTENT,
        )
        await stub.CreatePayment(request, timeout=10.0)
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True)
        consumer = AIOKafkaConsumer(
            f"{topic_prefix}onefold.payments.v1", bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest"
        )
        await producer.start()
        await consumer.start()
        try:
            event = outgoing(cancellation(order_id), key=order_id, now=datetime.now(UTC))
            headers = {
                "ce_id": event.id,
                "ce_type": event.type,
                "ce_source": "onefold/orders",
                "ce_specversion": "1.0",
                "ce_time": event.occurred_at.isoformat(),
            }
            await producer.send_and_wait(
                f"{topic_prefix}onefold.orders.v1",
                event.payload,
                key=order_id.encode(),
                headers=[(name, value.encode()) for name, value in headers.items()],
            )
            types: list[str] = []

            async def told() -> bool:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    types.extend(dict(record.headers)["ce_type"].decode().rpartition(".")[2] for record in records)
                return "PaymentCancellationSettled" in types

            await wait_until(told, within=20.0)
            assert types == ["PaymentCreated", "PaymentCanceled", "PaymentCancellationSettled"]
        finally:
            await producer.stop()
            await consumer.stop()
    assert (await sim.client.stripe.ledger(order_id)).payable == []


@asynccontextmanager
async def _process(environment: dict[str, str]) -> AsyncIterator[int]:
    """`python -m services.payments all`; its gRPC port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.payments", "all",
        env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE,
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
