"""Small consistent books of all services, for tests that plant one breach in them.

Foreign keys and triggers are off for the writer: a breach is what those would not let happen.
"""

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from ops.audit.claims import read_claims
from ops.audit.run import breaches
from ops.audit.sources import Sources

LONG_AGO: Final = "2026-03-02T09:30:00+00:00"
RECENTLY: Final = (datetime.now(UTC) - timedelta(days=2)).isoformat()
WAYS: Final = {
    "PENDING": ["PENDING"],
    "CANCELLED": ["PENDING", "CANCELLED"],
    "DELIVERED": ["PENDING", "CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"],
}


def name(text: str) -> str:
    """A UUID that is always the same for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


_JOBS_RUN: Final = """
INSERT INTO job_leases (name, holder, fence, lease_until) VALUES ('any', 'h', 1, now() + interval '1 hour')
"""
ORDER: Final = name("an order")
OTHER: Final = name("another order")


@dataclass
class Books:
    """Databases as a test needs them; `witnesses` are the sources that no database holds."""

    connections: dict[str, "asyncpg.Connection[asyncpg.Record]"]
    witnesses: dict[str, Any] = field(default_factory=dict)

    async def put(self, database: str, table: str, **values: Any) -> None:
        """Insert one row."""
        columns = ", ".join(values)
        await self.connections[database].execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_record(NULL::{table}, $1::json)",
            json.dumps(values),
        )

    async def lift(self, database: str, table: str, constraint: str) -> None:
        """Take a constraint away that forbids the breach."""
        await self.connections[database].execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")

    async def order(self, order_id: str = ORDER, *, state: str = "PENDING", **changes: Any) -> None:
        """An order with its history."""
        cancelled = state == "CANCELLED"
        way = WAYS[state]
        values: dict[str, Any] = {
            "order_id": order_id,
            "number": hashlib.sha256(order_id.encode()).hexdigest()[:10].upper(),
            "caller": "demo",
            "request_id": order_id,
            "body_hash": "\\x" + "00" * 32,
            "state": state,
            "changes": len(way),
            "version": 1,
            "round": 1,
            "reservation": 1,
            **dict.fromkeys(("customer_id", "email", "cart_id"), ""),
            **{key: {} for key in ("shipping_address", "metadata", "cancellation_answers", "progress")},
            "payment_flow": "INTENT",
            "capture_method": "AUTOMATIC",
            "currency": "GBP",
            **dict.fromkeys(("subtotal_minor", "shipping_minor", "adjustments_minor", "total_minor"), 0),
            "payment_verdict": "UNPAID",
            "payment_currency": "GBP",
            **{
                f"payment_{column}": 0
                for column in (
                    *("due_minor", "authorized_minor", "captured_minor", "refunded_minor", "refund_pending_minor"),
                    "version",
                )
            },
            "payment_currency_differs": False,
            "payment_dispute": "NONE",
            "stock": "NONE",
            "fulfillment": "NONE",
            "cancellation": "DONE" if cancelled else "NONE",
            "cancellation_number": int(cancelled),
            "cancellation_reason": "CUSTOMER" if cancelled else None,
            **dict.fromkeys(("payable_until", "first_payable_until", "created_at", "updated_at"), LONG_AGO),
        }
        await self.put("orders", "orders", **{**values, **changes})
        for number, to_state in enumerate(way, 1):
            await self.entry(order_id, number, way[number - 2] if number > 1 else None, to_state)

    async def entry(self, order_id: str, number: int, from_state: str | None, to_state: str) -> None:
        """One entry of an order's history."""
        values = {"order_id": order_id, "number": number, "from_state": from_state, "to_state": to_state}
        rest = {"actor": "system", "reason": "test", "occurred_at": LONG_AGO, "caused_by": "", "version": number}
        await self.put("orders", "order_history", **values, **rest)

    async def line(self, order_id: str = ORDER, *, shipped: int = 0, returned: int = 0) -> None:
        """A line of three units of MUG."""
        values = {"order_id": order_id, "line": 1, "sku": "MUG", "name": "Mug", "location": "riga", "quantity": 3}
        money = {"unit_price_minor": 100, "cancelled": 0, "released": 0}
        await self.put("orders", "order_lines", **values, **money, shipped=shipped, returned=returned)

    async def level(self, *, on_hand: int = 10, reserved: int = 0, shipped: int = 0) -> None:
        """A level of MUG with the ledger that belongs to it."""
        item = {
            "sku": "MUG",
            "name": "Mug",
            "available": True,
            "weight_grams": 1,
            "low_stock_threshold": 0,
            "version": 1,
        }
        await self.put("inventory", "items", **item, variant_ids={"printful_variant_id": "71"}, updated_at=LONG_AGO)
        counters = {"on_hand": on_hand, "reserved": reserved, "shipped": shipped}
        await self.put("inventory", "stock", sku="MUG", location="riga", version=1, is_low=False, **counters)
        if on_hand + shipped:
            await self.moved("adjusted", on_hand + shipped, 0, 0)
        if reserved + shipped:
            await self.moved("reserved", 0, reserved + shipped, 0)
        if shipped:
            await self.moved("shipped", -shipped, -shipped, shipped)

    async def moved(self, kind: str, on_hand: int, reserved: int, shipped: int) -> None:
        """An entry of the stock ledger."""
        deltas = {"on_hand_delta": on_hand, "reserved_delta": reserved, "shipped_delta": shipped}
        rest = {"reason": "test", "actor": "test", "occurred_at": LONG_AGO, "order_id": ""}
        await self.put("inventory", "stock_ledger", sku="MUG", location="riga", kind=kind, **deltas, **rest)

    async def hold(self, order_id: str = ORDER, *, state: str = "ATTACHED", reserved: int, shipped: int = 0) -> None:
        """A hold of MUG."""
        lapses_at = LONG_AGO if state == "TENTATIVE" else None
        await self.put("inventory", "holds", order_id=order_id, reservation=1, state=state, lapses_at=lapses_at)
        values = {"order_id": order_id, "reservation": 1, "line": 1, "sku": "MUG", "location": "riga", "name": "Mug"}
        units = {"reserved": reserved, "committed": shipped, "shipped": shipped, "released": 0, "returned": 0}
        await self.put("inventory", "hold_lines", **values, **units)

    async def attempt(self, order_id: str = ORDER, *, object_id: str = "pi_1", state: str = "SUCCEEDED") -> None:
        """An attempt to pay."""
        values = {"id": name(object_id), "order_id": order_id, "number": 1, "provider": "stripe", "flow": "INTENT"}
        rest: dict[str, Any] = dict.fromkeys(("creates", "cancels", "captures", "failures"), 0)
        rest |= dict.fromkeys(("ended_by", "request_id", "charge_id", "method", "capture_request"), "")
        rest |= {"failure_code": "", "failure_message": "", "orphan": False, "payment_id": object_id}
        times = {"state_at": LONG_AGO, "created_at": LONG_AGO}
        await self.put("payments", "payment_attempts", **values, **rest, **times, state=state, object_id=object_id)

    async def booked(self, fact: str, amount: int, order_id: str = ORDER, object_id: str = "ch_1") -> None:
        """An entry of the payment ledger."""
        sides = {
            "captured": ("provider", "customer"),
            "refunded": ("customer", "provider"),
            "authorized": ("held", "holds"),
            "released": ("holds", "held"),
        }
        debit, credit = sides[fact]
        values = {"order_id": order_id, "provider": "stripe", "object_id": object_id, "fact": fact, "debit": debit}
        money = {"credit": credit, "amount_minor": amount, "currency": "GBP"}
        rest = {"source_id": "", "occurred_at": LONG_AGO, "caused_by": "", "recorded_at": LONG_AGO}
        await self.put("payments", "payment_transactions", **values, **money, **rest)

    async def fulfillment(self, order_id: str = ORDER, *, state: str = "COMPLETED") -> None:
        """A fulfilment at Printful."""
        values: dict[str, Any] = {"order_id": order_id, "state": state, "provider": "printful", "round": 1}
        values |= {"request_id": "r1", "object_id": "9", "provider_state": "FULFILLED", "created_at": LONG_AGO}
        await self.put("fulfillment", "fulfillments", **values)

    async def shipment(self, provider_id: str, order_id: str = ORDER) -> None:
        """A parcel as fulfillment knows it."""
        values = {"id": name(f"parcel {provider_id}"), "order_id": order_id, "provider_id": provider_id, "place": 1}
        rest = dict.fromkeys(("carrier", "tracking_number", "tracking_url"), "")
        await self.put("fulfillment", "shipments", **values, **rest, state="SENT", lines=[], sent_at=LONG_AGO)

    async def claimed(self, database: str, event_id: str, topic: str, offset: int, claimed_at: str = RECENTLY) -> None:
        """An event that a consumer has claimed and applied."""
        place = {"topic": topic, "kafka_partition": 0, "kafka_offset": offset}
        values = {"consumer": database, "event_id": event_id, "outcome": "APPLIED", "claimed_at": claimed_at}
        await self.put(database, "inbox", **values, **place)

    async def lines(self, *, at_rest: bool = False) -> Sequence[str]:
        """What the audit prints."""
        sources = Sources(databases=self.connections, at_rest=at_rest, **self.witnesses)
        sources = replace(sources, claims=await read_claims(sources))
        return [str(breach) for breach in await breaches(sources)]


Audited = Callable[..., AbstractAsyncContextManager[Books]]
"""`audited("orders", "payments")`: empty books of some services, forgotten at the end."""


@asynccontextmanager
async def opened(addresses: Mapping[str, str]) -> AsyncIterator[Books]:
    """Books in databases that are empty again afterwards: all is one transaction each, constraints included."""
    async with AsyncExitStack() as stack:
        connections = {}
        for service, address in addresses.items():
            connection = connections[service] = await asyncpg.connect(address)
            stack.push_async_callback(connection.close)
            transaction = connection.transaction()
            await transaction.start()
            stack.push_async_callback(transaction.rollback)
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(_JOBS_RUN)
        yield Books(connections)
