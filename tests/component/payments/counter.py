"""A payments service without its processes: its doors, its jobs, and Stripe's simulator behind it.

Why: a test says what a caller, a customer, the provider or time does, and then looks at rows and events.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2 as orders_pb2
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1 import payments_service_pb2_grpc as service_grpc

from services.chassis.clock import ManualClock
from services.chassis.db import Database, Transaction
from services.chassis.ids import new_id
from services.chassis.operations import OperationRunner
from services.chassis.testing import hear, incoming, open_database, said, serving
from services.payments.config import PaymentsSettings
from services.payments.events import CONSUMER, handler
from services.payments.jobs import PaymentsJobs
from services.payments.providers.stripe import StripeProvider
from services.payments.rpc import PaymentsServicer
from services.payments.store import payables
from services.payments.usecases.calls import provider_calls
from services.payments.usecases.decisions import Context
from simulators.app import RunningSimulators

KEY = "sk_test_onefold"
TIMEOUT_S = 10.0
_PROCESSED = """
INSERT INTO webhook_events (source, event_id, type, raw, received_at, processed_at, outcome)
SELECT 'stripe', convert_from(raw, 'UTF8')::json ->> 'id', 'x', raw, now(), now(), 'stale' FROM unnest($1::bytea[]) raw
ON CONFLICT DO NOTHING
"""
CLAIM_LEASES = "UPDATE operations SET lease_until = NULL, next_try_at = planned_at"


@dataclass(frozen=True)
class Counter:
    """The service, its provider and what a test asks of them."""

    database: Database
    settings: PaymentsSettings
    clock: ManualClock
    context: Context
    runner: OperationRunner
    servicer: PaymentsServicer
    stub: service_grpc.PaymentsServiceStub
    sim: RunningSimulators

    @property
    def jobs(self) -> PaymentsJobs:
        return PaymentsJobs(self.database, self.settings, self.context, self.runner)

    async def create(
        self, order_id: str, amount: int = 1_000, currency: str = "USD", *, request_id: str = "", **more: Any
    ) -> service_pb2.CreatePaymentResponse:
        """CreatePayment by an intent, or as `more` says."""
        more.setdefault("flow", payments_pb2.FLOW_INTENT)
        request = service_pb2.CreatePaymentRequest(
            request_id=request_id or new_id(),
            order_id=order_id,
            due=common_pb2.Money(amount_minor=amount, currency=currency),
            order_number="7K3M92QXTF",
            **more,
        )
        return await self.stub.CreatePayment(request, timeout=TIMEOUT_S)

    async def get(self, order_id: str) -> service_pb2.GetPaymentResponse:
        return await self.stub.GetPayment(service_pb2.GetPaymentRequest(order_id=order_id), timeout=TIMEOUT_S)

    async def ingest(self, *bodies: bytes) -> list[str]:
        """IngestWebhooks; the outcomes by name."""
        webhooks = [service_pb2.Webhook(source="stripe", body=body) for body in bodies]
        request = service_pb2.IngestWebhooksRequest(webhooks=webhooks)
        response = await self.stub.IngestWebhooks(request, timeout=TIMEOUT_S)
        names = service_pb2.WebhookOutcome.Name
        return [names(result.outcome).removeprefix("WEBHOOK_OUTCOME_") for result in response.results]

    async def webhooks(self) -> list[bytes]:
        """Everything the provider has told so far, oldest first, as bodies."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            url = f"{self.sim.stripe_url}/v1/events"
            answer = await client.get(url, params={"limit": 100}, headers={"Authorization": f"Bearer {KEY}"})
            return [json.dumps(event).encode() for event in reversed(answer.json()["data"])]

    async def tell(self) -> list[str]:
        """Deliver everything the provider has told so far."""
        return await self.ingest(*await self.webhooks())

    async def tell_nothing(self) -> None:
        """As if everything that the provider has told so far had been processed without an effect."""
        await self.database.fetch(_PROCESSED, await self.webhooks())

    async def hear(self, *messages: Message) -> dict[str, str]:
        """Events of orders, as the consumer would apply them; type -> outcome."""
        events = [incoming(message, offset=offset) for offset, message in enumerate(messages)]
        outcomes = await hear(self.database, CONSUMER, handler(self.context), events)
        return {event.type.rpartition(".")[2]: outcomes[event.id].value for event in events}

    async def said(self, order_id: str) -> list[Message]:
        """The events about an order so far, in order."""
        return await said(self.database, order_id)

    async def names(self, order_id: str) -> list[str]:
        """Their names."""
        return [message.DESCRIPTOR.name for message in await self.said(order_id)]

    async def pay(self, order_id: str, method: str = "pm_card_visa", **more: Any) -> str:
        """Create, and have the customer pay; the intent's id."""
        created = await self.create(order_id, **more)
        await self.sim.client.stripe.confirm(created.client_secret, method)
        return created.attempt.provider_object_id

    async def foreign_intent(self, order_id: str, amount: int = 1_000, currency: str = "usd", **metadata: str) -> str:
        """An intent for the order that no call of ours made; its client secret."""
        metadata = {"order_id": order_id, **metadata}
        answer = await self._post("payment_intents", amount=amount, currency=currency, metadata=metadata)
        return str(answer["client_secret"])

    async def refund_at_the_provider(self, intent: str, amount: int) -> None:
        """As if somebody had refunded at the dashboard."""
        await self._post("refunds", payment_intent=intent, amount=amount)

    async def _post(self, path: str, **params: Any) -> dict[str, Any]:
        data = {**params, **{f"metadata[{key}]": value for key, value in params.pop("metadata", {}).items()}}
        data.pop("metadata", None)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, headers={"Authorization": f"Bearer {KEY}"}) as client:
            answer = await client.post(f"{self.sim.stripe_url}/v1/{path}", data=data)
            found: dict[str, Any] = answer.raise_for_status().json()
            return found

    def poison(self, order_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on the store refuses whatever changes this order."""
        good = payables.save

        async def save(tx: Transaction, changes: Sequence[payables.Change], provider: str) -> None:
            if any(change.after.order_id == order_id for change in changes):
                raise asyncpg.DataError("poisoned")
            await good(tx, changes, provider)

        monkeypatch.setattr(payables, "save", save)

    async def settle_operations(self) -> None:
        """Run what is due until nothing is."""
        while await self.runner.run_once():
            pass

    async def release_leases(self) -> None:
        """As if every lease of a dead sender had run out."""
        await self.database.fetch(CLAIM_LEASES + " WHERE settled_at IS NULL")

    async def open_incidents(self) -> list[str]:
        """Kinds of the open incidents."""
        rows = await self.database.fetch("SELECT kind FROM incidents WHERE state = 'OPEN' ORDER BY kind")
        return [row["kind"] for row in rows]


@asynccontextmanager
async def open_counter(
    settings: PaymentsSettings, sim: RunningSimulators, clock: ManualClock | None = None
) -> AsyncIterator[Counter]:
    """One process' worth of payments."""
    clock = clock or ManualClock(datetime.now(UTC))
    provider = StripeProvider(
        KEY, api_base=sim.stripe_url, public_origin="https://shop.test", timeout=settings.provider_timeout
    )
    async with open_database(settings) as database:
        context = Context(provider, clock, settings.rules)
        runner = OperationRunner(
            database, http_timeout=settings.provider_timeout, clock=clock, calls=provider_calls(context)
        )
        servicer = PaymentsServicer(database, settings, context, runner)
        add = service_grpc.add_PaymentsServiceServicer_to_server
        async with serving(settings, {add: servicer}) as channel:
            stub = service_grpc.PaymentsServiceStub(channel)
            yield Counter(database, settings, clock, context, runner, servicer, stub, sim)
        await servicer.close()
        await runner.close()
    await provider.close()


def money(amount: int, currency: str = "USD") -> common_pb2.Money:
    return common_pb2.Money(amount_minor=amount, currency=currency)


def cancellation(order_id: str, cancellation_id: str = "") -> orders_pb2.PaymentCancellationRequested:
    return orders_pb2.PaymentCancellationRequested(
        context=common_pb2.EventContext(order_id=order_id), cancellation_id=cancellation_id or new_id()
    )


def refund(order_id: str, amount: int, refund_id: str = "", **more: Any) -> orders_pb2.RefundRequested:
    return orders_pb2.RefundRequested(
        context=common_pb2.EventContext(order_id=order_id),
        refund_id=refund_id or new_id(),
        amount=money(amount, more.pop("currency", "USD")),
        **more,
    )


def placed(order_id: str, amount: int = 1_000, currency: str = "USD") -> orders_pb2.OrderCreated:
    return orders_pb2.OrderCreated(context=common_pb2.EventContext(order_id=order_id), total=money(amount, currency))


def capture(order_id: str, amount: int, request_id: str = "") -> orders_pb2.PaymentCaptureRequested:
    return orders_pb2.PaymentCaptureRequested(
        context=common_pb2.EventContext(order_id=order_id), request_id=request_id or new_id(), amount=money(amount)
    )
