"""A guard against slow growth: statements per batch, bytes per event, encodings per order; counted, never timed."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from bench import inbox as inbox_bench
from bench import order_create
from bench.counting import Work, counted
from bench.events import order_created
from bench.hot_sku import wanted
from bench.order_batch import in_process
from bench.webhook import ATTEMPTS, OBJECTS, PAYABLES, succeeded
from bench.world import seed
from ops.local.databases import Access
from services.chassis.clock import SystemClock
from services.chassis.consumer.apply import Applier
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent
from services.chassis.testing import incoming, open_database, settings_for
from services.inventory.config import InventorySettings
from services.inventory.domain import Hold
from services.inventory.rpc import InventoryServicer
from services.orders.messages import place_order_of
from services.orders.usecases.placing import Placed
from services.payments.config import PaymentsSettings
from services.payments.providers.stripe import StripeProvider
from services.payments.usecases.decisions import Context
from services.payments.usecases.webhooks import Webhook, WebhookOutcome, ingest

BATCHES = (2, 256)
Databases = Callable[[str], Access]


@pytest.fixture
def work() -> Iterator[Work]:
    with counted() as found:
        yield found


@pytest.mark.requirement("R-3.9")
async def test_reservations_cost_eight_statements_for_any_number_of_buyers(database: Databases, work: Work) -> None:
    dsn = database("inventory").serving
    await seed(dsn)
    settings = settings_for(InventorySettings, dsn, pool_size=1)
    async with open_database(settings) as db:
        servicer = InventoryServicer(db, settings, SystemClock())
        for buyers in BATCHES:
            work.clear()
            answers = await servicer._change_reservations([wanted() for _ in range(buyers)])
            assert all(isinstance(answer, Hold) for answer in answers)
            assert len(work.statements) == 8, work.statements
            assert work.encodes == buyers + 1  # a hold's fact each, the level's once
        await servicer.close()


@pytest.mark.requirement("R-2.2")
async def test_orders_cost_seven_statements_and_one_reservation_for_any_number(database: Databases, work: Work) -> None:
    inventory, orders = database("inventory").serving, database("orders").serving
    await seed(inventory)
    async with in_process(inventory, orders) as placing:
        for count in BATCHES:
            requests = [order_create.request() for _ in range(count)]
            work.clear()
            commands = [place_order_of(request, "demo") for request in requests]
            placed = await placing.flush(commands)
            assert all(isinstance(each, Placed) for each in placed)
            assert len(work.statements) == 7 + 8, work.statements
            levels = {line.sku for request in requests for line in request.lines}
            assert work.encodes == 3 * count + len(levels)  # the body, two facts of the order; one per level
        async with open_database(settings_for(InventorySettings, orders)) as db:
            sizes = await db.fetch("SELECT type, max(octet_length(payload)) AS bytes FROM outbox GROUP BY type")
        assert {row["type"].rpartition(".")[2]: row["bytes"] <= 280 for row in sizes} == {"OrderCreated": True}


@pytest.mark.requirement("S-25")
async def test_consumed_events_cost_five_statements_for_any_number(database: Databases, work: Work) -> None:
    access = database("inventory")
    async with open_database(settings_for(InventorySettings, access.owner, pool_size=1)) as db:
        await db.fetch(inbox_bench.TABLE)
        applier = Applier(
            consumer="bench", database=db, handler=inbox_bench.apply, clock=SystemClock(), parked_per_minute_max=1
        )
        for count in BATCHES:
            events = _events(count)
            work.clear()
            await applier.apply(events)
            assert len(work.statements) == 5, work.statements
            assert work.encodes == 0


@pytest.mark.requirement("S-12")
async def test_webhooks_cost_the_same_statements_for_any_number(database: Databases, work: Work) -> None:
    settings = settings_for(
        PaymentsSettings, database("payments").serving, pool_size=1, stripe_secret_key=SecretStr("sk_test_bench")
    )
    nowhere = {"api_base": "http://127.0.0.1:1", "public_origin": ""}
    provider = StripeProvider("sk_test_bench", **nowhere, timeout=settings.provider_timeout)
    context, found = Context(provider, SystemClock(), settings.rules), set[int]()
    async with open_database(settings) as db:
        for count in BATCHES:
            orders = [new_id() for _ in range(count)]
            intents = [f"pi_{order.replace('-', '')}" for order in orders]
            await db.fetch(PAYABLES, orders, 2_895)
            await db.fetch(ATTEMPTS, orders, intents)
            await db.fetch(OBJECTS, orders, intents)
            webhooks = _webhooks(orders, intents)
            work.clear()
            results = await ingest(db, context, webhooks)
            assert {result.outcome for result in results} == {WebhookOutcome.APPLIED}
            found.add(len(work.statements))
            assert work.encodes <= 2 * count  # PaymentCaptured and PaymentSucceeded
    await provider.close()
    assert len(found) == 1 and found.pop() <= 10, work.statements


def _events(count: int) -> list[IncomingEvent]:
    messages = [order_created() for _ in range(count)]
    return [incoming(message, key=message.context.order_id, offset=place) for place, message in enumerate(messages)]


def _webhooks(orders: Sequence[str], intents: Sequence[str]) -> list[Webhook]:
    now = datetime.now(UTC)
    bodies = [json.dumps(succeeded(*pair)).encode() for pair in zip(orders, intents, strict=True)]
    return [Webhook("stripe", body, now) for body in bodies]
