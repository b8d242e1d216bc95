"""The schema holds the domain's laws: states, legal pairs, a history without gaps that nobody can skip or change."""

import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from onefold.orders.v1 import orders_pb2

from ops.local.databases import Access
from services.chassis.testing import open_database, settings_for
from services.orders import domain
from services.orders.config import OrdersSettings
from tests.component.orders.shop import Shop, paid

CHECKS = """
SELECT conrelid::regclass::text AS of, pg_get_constraintdef(oid) AS law FROM pg_constraint WHERE contype = 'c'
"""
ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"
PAIRS = {(before or "", after) for before, after in domain.TRANSITIONS}

COLUMNS: dict[str, type[Enum]] = {
    "state": domain.OrderState,
    "payment_verdict": domain.PaymentVerdict,
    "payment_dispute": domain.DisputeState,
    "stock": domain.StockState,
    "fulfillment": domain.FulfillmentState,
    "cancellation": domain.CancellationState,
    "cancellation_reason": domain.CancellationReason,
}


@pytest.fixture
async def laws(emptied: Callable[[str], Access]) -> list[tuple[str, str]]:
    settings = settings_for(OrdersSettings, emptied("orders").serving)
    async with open_database(settings) as db:
        return [(row["of"], row["law"]) for row in await db.fetch(CHECKS)]


def names(enum: Any, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name, _ in enum.items()} - {"UNSPECIFIED"}


@pytest.mark.requirement("R-2.3")
async def test_the_columns_and_the_history_take_the_values_and_pairs_of_the_domain(laws: list[tuple[str, str]]) -> None:
    for column, kind in COLUMNS.items():
        law = next(law for of, law in laws if of == "orders" and law.startswith(f"CHECK (({column} = ANY"))
        assert set(re.findall(r"'([A-Z_]+)'::text", law)) == {value.value for value in kind}, column
    (law,) = [law for of, law in laws if of == "order_history" and "PENDING" in law]
    taken = set(re.findall(r"COALESCE\(from_state, ''::text\) = '(\w*)'::text\) AND \(to_state = '(\w+)'::text", law))
    assert taken == PAIRS


@pytest.mark.requirement("R-2.3")
def test_the_protocol_names_the_states_of_the_domain() -> None:
    assert names(orders_pb2.OrderState, "ORDER_STATE_") == {value.value for value in domain.OrderState}
    assert names(orders_pb2.PaymentVerdict, "PAYMENT_VERDICT_") == {value.value for value in domain.PaymentVerdict}
    assert names(orders_pb2.CancellationState, "CANCELLATION_STATE_") == {v.value for v in domain.CancellationState}
    assert names(orders_pb2.CancellationReason, "CANCELLATION_REASON_") == {v.value for v in domain.CancellationReason}


@pytest.mark.requirement("R-2.3")
@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="the diagram is not drawn yet")
def test_the_diagram_shows_the_pairs_of_the_domain() -> None:
    states = "|".join(domain.OrderState)
    arrows = re.findall(rf"^\s*(\[\*\]|{states}) --> ({states})\b", ARCHITECTURE.read_text(), re.MULTILINE)
    assert {("" if before == "[*]" else before, after) for before, after in arrows} == PAIRS


ILLEGAL = (
    "UPDATE orders SET state = 'DELIVERED'",
    "UPDATE orders SET state = 'SHIPPED', changes = 1",
    "UPDATE order_history SET actor = 'nobody'",
    "DELETE FROM order_history",
    "INSERT INTO order_history SELECT order_id, 3, 'CONFIRMED', 'DELIVERED', 'x', '', now(), '', 9 FROM orders",
    "INSERT INTO order_history SELECT order_id, 3, 'PENDING', 'CONFIRMED', 'x', '', now(), '', 9 FROM orders",
    "INSERT INTO order_history SELECT order_id, 5, 'CONFIRMED', 'PROCESSING', 'x', '', now(), '', 9 FROM orders",
    "INSERT INTO order_history SELECT order_id, 2, 'PENDING', 'CANCELLED', 'x', '', now(), '', 9 FROM orders",
    "INSERT INTO order_history SELECT order_id, 3, NULL, 'PENDING', 'x', '', now(), '', 9 FROM orders",
    "UPDATE order_lines SET shipped = 2, cancelled = 1",
    "UPDATE order_lines SET returned = 1",
    "UPDATE orders SET total_minor = total_minor + 1",
    "UPDATE orders SET shipping_minor = -1, total_minor = subtotal_minor - 1",
    "UPDATE orders SET currency = 'eur'",
    "UPDATE orders SET number = 'IIIIIIIIII'",
    "UPDATE orders SET cancellation = 'REQUESTED'",
)


@pytest.mark.requirement("R-2.2", "R-2.3", "R-2.4", "S-19")
async def test_the_schema_refuses_what_no_decision_says(shop: Shop) -> None:
    """A state without its history entry, a gap, an illegal pair, a change of history, parts that miss the total."""
    await shop.stocked("MUG", 5)
    await shop.hear(paid(await shop.order(MUG=2)))
    taken = []
    for statement in ILLEGAL:
        try:
            await shop.database.fetch(statement)
            taken.append(statement)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.RestrictViolationError):
            continue
    assert taken == []
