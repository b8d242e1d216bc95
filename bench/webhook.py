"""webhook: signed Stripe events through gateway and payments, answered after the commit, 256 in flight.

Why: a provider that sends faster than we answer sends again, and then there is twice the work.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from psutil import Process

from bench import harness
from bench.goals import GOALS
from bench.harness import LIMIT, OURS, PEER, Plan, Result, Sample, Side
from bench.http import post, send_all
from bench.world import World, at, free_port
from services.chassis.ids import new_id

NAME: Final = "webhook"
IN_FLIGHT: Final = 256
PER_SECOND: Final = 5_000  # more than any side takes in
AMOUNT_MINOR: Final = 2_895
PAYABLES: Final = """
INSERT INTO payables (order_id, due_minor, currency) SELECT unnest($1::uuid[]), $2, 'GBP'
"""
ATTEMPTS: Final = """
INSERT INTO payment_attempts (id, order_id, number, provider, flow, state, state_at, object_id, payment_id, created_at)
SELECT order_id, order_id, 1, 'stripe', 'INTENT', 'PAYABLE', now() - interval '1 minute', payment_id, payment_id, now()
  FROM unnest($1::uuid[], $2::text[]) AS a (order_id, payment_id)
"""
OBJECTS: Final = """
INSERT INTO provider_objects (provider, object_id, order_id) SELECT 'stripe', * FROM unnest($2::text[], $1::uuid[])
"""
APPLIED: Final = "SELECT count(*) FROM webhook_events WHERE outcome = 'applied'"
BOOKED: Final = "SELECT count(*) FROM payment_transactions WHERE fact = 'captured'"


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark: each event is the success of another order's payment."""
    ports = {name: free_port() for name in ("payments", "gateway", "alone", "peer")}
    where = {**at("payments", ports["payments"]), "ONEFOLD_GATEWAY_PAYMENTS_TARGET": f"127.0.0.1:{ports['payments']}"}
    async with AsyncExitStack() as stack:
        processes: dict[str, Process] = {}

        async def serve(name: str, *command: str, **extra: str) -> None:
            port = f"127.0.0.1:{ports[name]}"
            opened = world.process(name, ["python", "-m", *command], port=port, extra={**where, **extra})
            processes[name] = await stack.enter_async_context(opened)

        await serve("payments", "services.payments", "serve")
        await serve("gateway", "gateway", **at("gateway", ports["gateway"]))
        await serve("alone", "bench.gateway_alone", **at("gateway", ports["alone"]))
        await serve("peer", "bench.peers.webhook", str(ports["peer"]))
        sides: dict[str, Side] = {
            OURS: partial(_counted, world, (APPLIED, BOOKED), partial(_send, world, ports["gateway"])),
            PEER: partial(_counted, world, (APPLIED,), partial(_send, world, ports["peer"])),
            LIMIT: partial(_send, world, ports["alone"]),
        }
        samples = await harness.interleaved(sides, plan)
        notes = [await _cpu(sides[OURS], processes, plan)]
    return harness.by_rate(NAME, "webhooks/s", GOALS[NAME], samples, notes)


async def _counted(
    world: World, counts: Sequence[str], side: Callable[[float], Awaitable[Sample]], seconds: float
) -> Sample:
    """Every 200 is an applied event in the table; for ours an entry of the ledger too, of which the peer has none."""
    before = [(await world.sql("payments", count))[0][0] for count in counts]
    sample = await side(seconds)
    for count, earlier in zip(counts, before, strict=True):
        harness.require(count, (await world.sql("payments", count))[0][0] - earlier, sample.done)
    return sample


async def _send(world: World, port: int, seconds: float) -> Sample:
    """Orders that can be paid, and the events that say that they are."""
    secret = world.environment["ONEFOLD_GATEWAY_STRIPE_WEBHOOK_SECRET"]
    orders = [new_id() for _ in range(max(int(PER_SECOND * seconds), IN_FLIGHT))]
    intents = [f"pi_{order.replace('-', '')}" for order in orders]
    await world.sql("payments", PAYABLES, orders, AMOUNT_MINOR)
    await world.sql("payments", ATTEMPTS, orders, intents)
    await world.sql("payments", OBJECTS, orders, intents)
    requests = [signed(succeeded(*pair), secret) for pair in zip(orders, intents, strict=True)]
    return await send_all(port, requests, in_flight=IN_FLIGHT, seconds=seconds)


def signed(event: dict[str, Any], secret: str) -> bytes:
    """The request that Stripe would send (F-1)."""
    body, stamp = json.dumps(event, indent=2).encode(), int(time.time())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return post("/webhooks/stripe", body, {"Stripe-Signature": f"t={stamp},v1={digest}"})


def succeeded(order_id: str, intent: str) -> dict[str, Any]:
    """`payment_intent.succeeded` with the fields of a real one."""
    now = int(time.time())
    absent = ("application", "application_fee_amount", "canceled_at", "cancellation_reason", "customer", "description")
    unset = ("last_payment_error", "next_action", "on_behalf_of", "processing", "review", "setup_future_usage")
    more = ("shipping", "source", "statement_descriptor", "statement_descriptor_suffix", "transfer_data")
    intent_object: dict[str, Any] = {
        **dict.fromkeys((*absent, *unset, *more)),
        "id": intent,
        "object": "payment_intent",
        "amount": AMOUNT_MINOR,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": AMOUNT_MINOR,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "capture_method": "automatic_async",
        "client_secret": f"{intent}_secret_{intent[-16:]}",
        "confirmation_method": "automatic",
        "created": now - 30,
        "currency": "gbp",
        "latest_charge": f"ch_{intent[3:]}",
        "livemode": False,
        "metadata": {"order_id": order_id, "attempt_id": order_id},
        "payment_method": f"pm_{intent[3:]}",
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card", "link"],
        "receipt_email": "ada@example.org",
        "status": "succeeded",
        "transfer_group": None,
    }
    return {
        "id": f"evt_{intent[3:]}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": now,
        "data": {"object": intent_object},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": f"req_{intent[-12:]}", "idempotency_key": order_id},
        "type": "payment_intent.succeeded",
    }


async def _cpu(ours: Side, processes: dict[str, Process], plan: Plan) -> str:
    """CPU per webhook of each of our processes."""
    names = ("gateway", "payments")
    before = {name: sum(processes[name].cpu_times()[:2]) for name in names}
    sample = await ours(plan.seconds)
    spent = {name: sum(processes[name].cpu_times()[:2]) - start for name, start in before.items()}
    told = ", ".join(f"{name} {1e6 * spent[name] / sample.done:.0f} us" for name in names)
    return f"CPU per webhook: {told} (PostgreSQL and the load generator have the rest)"
