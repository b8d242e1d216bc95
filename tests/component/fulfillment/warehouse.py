"""A fulfillment service without its processes: its doors, its jobs, and Printful's simulator behind it.

Why: a test says what orders, the provider or time does, and then looks at events and at the provider's own ledger.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2_grpc as service_grpc
from onefold.orders.v1 import orders_events_pb2 as orders_pb2

from services.chassis.clock import ManualClock
from services.chassis.db import Database
from services.chassis.errors import DependencyUnavailable, Overloaded
from services.chassis.operations import OperationRunner
from services.chassis.testing import hear, incoming, open_database, said, serving
from services.fulfillment.config import FulfillmentSettings
from services.fulfillment.domain import Rules
from services.fulfillment.events import CONSUMER, handler
from services.fulfillment.jobs import FulfillmentJobs
from services.fulfillment.providers.base import Recipient
from services.fulfillment.providers.printful import PrintfulProvider
from services.fulfillment.rpc import FulfillmentServicer
from services.fulfillment.usecases import Context, provider_calls
from services.fulfillment.usecases.preparing import OrderDetails, OrderLine
from simulators.app import RunningSimulators
from simulators.client import SimulatorClient
from simulators.views import ParcelLedger

TIMEOUT_S = 10.0
ROUNDS = 200
RECIPIENT = Recipient("Ada Lovelace", "12 St James's Square", "", "London", "", "SW1Y 4JH", "GB", "", "ada@example.org")


@dataclass
class Owners:
    """What orders and inventory would answer; `away` makes them unreachable, `busy` refuse.

    With a `meeting` an answer waits until so many are asked for at one time.
    """

    variants: dict[str, str] = field(default_factory=lambda: {"MUG": "4001", "SHIRT": "4002"})
    away: bool = False
    busy: bool = False
    meeting: asyncio.Barrier | None = None

    async def order(self, order_id: str) -> OrderDetails:
        if self.meeting:
            await self.meeting.wait()
        if self.away:
            raise DependencyUnavailable("orders is away")
        if self.busy:
            raise Overloaded
        lines = {number: OrderLine(f"Thing {number}", 1_050) for number in (1, 2)}
        return OrderDetails("7K3M92QXTF", RECIPIENT, lines, "GBP", 395)

    async def variant_ids(self, skus: list[str], key: str) -> Mapping[str, str]:
        return {sku: self.variants[sku] for sku in skus if sku in self.variants}


@dataclass
class Warehouse:
    """The service, its provider and what a test asks of them."""

    database: Database
    clock: ManualClock
    context: Context
    jobs: FulfillmentJobs
    runner: OperationRunner
    owners: Owners
    stub: service_grpc.FulfillmentServiceStub
    provider: SimulatorClient
    settings: FulfillmentSettings

    async def hear(self, *messages: Message) -> list[str]:
        """Events of orders as the consumer would apply them, all in one batch; the outcomes in order."""
        events = [incoming(message, offset=offset) for offset, message in enumerate(messages)]
        outcomes = await hear(self.database, CONSUMER, handler(self.context), events)
        return [outcomes[event.id].value for event in events]

    async def request(self, order_id: str, *, round_: int = 1, **lines: int) -> str:
        """FulfillmentRequested for MUG=2 and the like; its id."""
        request_id = f"{order_id}:fulfil:{round_}"
        message = orders_pb2.FulfillmentRequested(
            context=of(order_id), request_id=request_id, round=round_, lines=units(**(lines or {"MUG": 2, "SHIRT": 1}))
        )
        assert await self.hear(message) == ["APPLIED"]
        return request_id

    async def cancel(self, order_id: str, request_id: str, cancellation_id: str = "cancel-1") -> list[str]:
        message = orders_pb2.FulfillmentCancellationRequested(
            context=of(order_id), cancellation_id=cancellation_id, request_id=request_id
        )
        return await self.hear(message)

    async def work(self) -> None:
        """Run the jobs until none has anything to do."""
        for _ in range(ROUNDS):
            done = [await self.jobs.prepare(), await self.jobs.try_again(), await self.runner.run_once()]
            if not any([*done, await self.jobs.apply_webhooks()]):
                return
        raise AssertionError(f"the jobs found something to do {ROUNDS} times")

    async def pass_time(self, **duration: float) -> None:
        """Time goes by, for business and for the leases of dead senders, and the jobs run."""
        self.clock.advance(timedelta(**duration))
        await self.database.fetch("UPDATE operations SET lease_until = NULL WHERE settled_at IS NULL")
        await self.work()

    async def hint(self, order_id: str, kind: str = "shipment_sent", *, number: int = 1, retries: int = 0) -> list[int]:
        """One webhook about the order's object, as Printful's v2 sends it."""
        order = {"id": 1, "external_id": self.external_id(order_id, number)}
        at = self.clock.now().isoformat()
        return await self.ingest(
            json.dumps({"type": kind, "occurred_at": at, "retries": retries, "data": {"order": order}}).encode()
        )

    async def ingest(self, *bodies: bytes) -> list[int]:
        webhooks = [service_pb2.Webhook(source="printful", body=body) for body in bodies]
        request = service_pb2.IngestWebhooksRequest(webhooks=webhooks)
        return list((await self.stub.IngestWebhooks(request, timeout=TIMEOUT_S)).outcomes)

    def external_id(self, order_id: str, number: int = 1) -> str:
        return self.context.provider.external_id(order_id, number)

    async def ledger(self, order_id: str, number: int = 1) -> ParcelLedger:
        """How often things happened, by the provider's own count."""
        return await self.provider.printful.ledger(self.external_id(order_id, number))

    async def said(self, order_id: str) -> list[Any]:
        return await said(self.database, order_id)

    async def names(self, order_id: str) -> list[str]:
        return [message.DESCRIPTOR.name for message in await self.said(order_id)]

    async def incidents(self) -> list[str]:
        rows = await self.database.fetch("SELECT kind FROM incidents WHERE state = 'OPEN' ORDER BY kind")
        return [row["kind"] for row in rows]

    async def state(self, order_id: str) -> str:
        return str(await self.database.fetchval("SELECT state FROM fulfillments WHERE order_id = $1", order_id))


@asynccontextmanager
async def open_warehouse(
    settings: FulfillmentSettings, sim: RunningSimulators, clock: ManualClock
) -> AsyncIterator[Warehouse]:
    """One process' worth of fulfillment."""
    provider = PrintfulProvider(
        "pf_test_onefold", store_id="1", api_base=sim.printful_url, timeout=settings.provider_timeout
    )
    async with open_database(settings) as database:
        context = Context(provider, clock, Rules(), timedelta(hours=1))
        runner = OperationRunner(
            database, http_timeout=settings.provider_timeout, clock=clock, calls=provider_calls(database, context)
        )
        owners = Owners()
        servicer = FulfillmentServicer(database, settings, context)
        add = service_grpc.add_FulfillmentServiceServicer_to_server
        async with serving(settings, {add: servicer}) as channel:
            stub = service_grpc.FulfillmentServiceStub(channel)
            jobs = FulfillmentJobs(database, settings, context, runner, owners)
            yield Warehouse(database, clock, context, jobs, runner, owners, stub, sim.client, settings)
        await servicer.close()
        await runner.close()
    await provider.close()


def of(order_id: str) -> common_pb2.EventContext:
    return common_pb2.EventContext(order_id=order_id)


def units(**lines: int) -> list[common_pb2.LineQuantity]:
    return [
        common_pb2.LineQuantity(line=line, sku=sku, quantity=quantity)
        for line, (sku, quantity) in enumerate(lines.items(), start=1)
    ]
