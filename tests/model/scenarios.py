"""The situations whose every interleaving is walked through, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.orders import domain
from services.orders.domain import Policies
from services.payments.domain import Payable
from tests.model import checks
from tests.model.explorer import Report, World
from tests.model.fulfillment_machine import FulfillmentMachine, fulfillment
from tests.model.inventory_machine import InventoryMachine, held
from tests.model.orders_machine import START, OrdersMachine, OrdersValue, new_order
from tests.model.payments_machine import PaymentsMachine, PaymentsValue
from tests.model.stripe_side import Stripe

CHANNELS = [
    ("orders", "inventory"),
    ("orders", "payments"),
    ("orders", "fulfillment"),
    ("inventory", "orders"),
    ("payments", "orders"),
    ("fulfillment", "orders"),
]


@dataclass(frozen=True)
class Scenario:
    """What may happen besides what must."""

    name: str
    customer: tuple[str, ...] = ()  # what may happen at the payment provider
    people: tuple[str, ...] = ()  # what people may ask of orders
    stock: tuple[str, ...] = ()  # what may happen to the stock
    goods: tuple[str, ...] = ()  # what may happen at the provider of goods
    manual: bool = False
    creates: int = 1
    redeliveries: int = 0
    policies: Policies = field(default_factory=Policies)
    units: int = 2
    parcel_units: int = 2


def walk(scenario: Scenario, limit: int = 2_000_000, *, reduced: bool = True) -> Report:
    """Explore one scenario."""
    order = new_order(scenario.units)
    placed = domain.place(order, START, scenario.policies)
    machines: list[Any] = [
        OrdersMachine(scenario.policies),
        PaymentsMachine(),
        InventoryMachine(),
        FulfillmentMachine(),
    ]
    start = {
        "orders": OrdersValue(placed.order, START, wishes=scenario.people),
        "payments": PaymentsValue(
            Payable("order"), Stripe(scenario.manual), may=scenario.customer, creates=scenario.creates
        ),
        "inventory": held(scenario.units, may=scenario.stock),
        "fulfillment": fulfillment(scenario.units, scenario.parcel_units, scenario.goods),
    }
    queued = {("orders", to): list(placed.events) for to in ("inventory", "payments")}
    world = World(machines, start, CHANNELS, queued, checks.at_rest, checks.ending, scenario.redeliveries, reduced)
    return world.explore(scenario.name, limit)
