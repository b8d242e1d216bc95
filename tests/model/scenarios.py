"""The situations whose every interleaving is walked through, by name.

What must happen (deliveries, calls, webhooks, deadlines, parcels) happens in every one of them; a scenario names what
may happen besides. One that begins with an order in PROCESSING leaves the ways there to the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from services.orders import domain
from services.orders.domain import (
    FulfillmentFailurePolicy,
    OrderState,
    PaymentFailurePolicy,
    Policies,
    StockShortagePolicy,
)
from services.payments.domain import Payable
from tests.model import checks
from tests.model.explorer import Report, World
from tests.model.fulfillment_machine import FulfillmentMachine, fulfillment
from tests.model.inventory_machine import InventoryMachine, held
from tests.model.orders_machine import START, OrdersMachine, OrdersValue, new_order
from tests.model.payments_machine import PaymentsMachine, PaymentsValue
from tests.model.shares_machine import SharesMachine, SharesValue
from tests.model.stripe_side import Stripe

CHANNELS = [
    ("orders", "inventory"),
    ("orders", "payments"),
    ("orders", "fulfillment"),
    ("inventory", "orders"),
    ("payments", "orders"),
    ("fulfillment", "orders"),
]
Wishes = tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """What may happen besides what must."""

    name: str
    customer: Wishes = ()  # at the payment provider
    people: Wishes = ()  # what people may ask of orders
    stock: Wishes = ()
    goods: Wishes = ()  # at the provider of goods
    policies: Policies = field(default_factory=Policies)
    manual: bool = False  # capture by hand
    creates: int = 1  # calls of CreatePayment
    redeliveries: int = 0  # per queue
    parcel_units: int = 2  # of the two units of the order
    paid: bool = False  # begin in PROCESSING
    shares: bool = False  # two members pay half each
    late_shares: int = 0  # of them may pay after all has ended
    queue: bool = False  # inventory keeps a queue of backorders
    unit: int = 1  # the provider moves multiples of it


PAYS: Wishes = ("customer pays",)
CANCEL_ON_FAILURE = Policies(payment_failure=PaymentFailurePolicy.CANCEL)
BACKORDER = Policies(stock_shortage=StockShortagePolicy.BACKORDER)
CANCEL_UNMADE = Policies(fulfillment_failure=FulfillmentFailurePolicy.CANCEL)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("create"),
    Scenario("lapse", PAYS, stock=("hold lapses", "rival buys")),
    Scenario("pay", PAYS, redeliveries=1),
    Scenario("fail", ("customer fails", *PAYS), stock=("hold lapses",)),
    Scenario("fail and cancel", ("customer fails", *PAYS), policies=CANCEL_ON_FAILURE),
    Scenario("processing", ("customer pays slowly",)),
    Scenario("act", ("customer must act", *PAYS)),
    Scenario("authorize", (*PAYS, "authorisation lapses"), manual=True, redeliveries=1),
    Scenario("capture refused", (*PAYS, "capture refused"), ("admin cancels",), manual=True),
    Scenario("cancel", PAYS, ("customer cancels",)),
    Scenario("cancel, told twice", PAYS, ("customer cancels",), redeliveries=1),
    Scenario("late money", ("money comes after all",), stock=("rival buys",), redeliveries=1),
    Scenario("late money, cancelled", ("money comes after all",), ("customer cancels",)),
    Scenario("late money, paid twice", ("money comes after all", *PAYS), creates=2),
    Scenario("late money, archived", ("money comes after all",), ("customer cancels", "admin archives")),
    Scenario("mismatch", ("customer pays too little",), ("admin cancels",), redeliveries=1),
    Scenario("mismatch of currency", ("customer pays in another currency",), ("admin cancels",)),
    Scenario("too much", ("customer pays too much",)),
    Scenario("out of stock", PAYS, stock=("hold lapses", "rival buys"), redeliveries=1),
    Scenario("backorder", PAYS, stock=("hold lapses", "rival buys", "stock arrives"), policies=BACKORDER),
    Scenario(
        "backorder, queued",
        PAYS,
        stock=("hold lapses", "rival buys", "stock arrives"),
        policies=BACKORDER,
        queue=True,
        redeliveries=1,
    ),
    Scenario("shares", shares=True, redeliveries=1),
    Scenario("shares, late", shares=True, late_shares=2),
    Scenario("shares, cancelled", people=("customer cancels",), shares=True),
    Scenario("submit", PAYS, goods=("create is lost", "create is refused", "operator retries")),
    Scenario("submit, provider fails", goods=("provider fails", "confirm is lost", "operator retries"), paid=True),
    Scenario("not made", goods=("provider fails", "operator retries"), policies=CANCEL_UNMADE, paid=True),
    Scenario("cancel during submission", people=("admin cancels",), goods=("create is lost",), paid=True),
    Scenario("cancel, create appears late", people=("admin cancels",), goods=("create appears late",), paid=True),
    Scenario("cancel after submission", people=("customer cancels", "admin cancels"), paid=True),
    Scenario("cancel, told twice after submission", people=("admin cancels",), paid=True, redeliveries=1),
    Scenario("address missing", people=("admin cancels",), goods=("address is missing", "operator retries"), paid=True),
    Scenario("refund", ("refund at the dashboard",), paid=True),
    Scenario("refund before shipping", (*PAYS, "refund at the dashboard")),
    Scenario("refund fails", ("refund fails",), ("admin cancels",), paid=True),
    Scenario("refund fails, tried again", ("refund fails",), ("admin cancels", "admin retries the refund"), paid=True),
    Scenario(
        "refund fails, made at the dashboard",
        ("refund fails", "refund at the dashboard"),
        ("admin cancels", "admin retries the refund"),
        paid=True,
    ),
    Scenario("dispute", ("customer disputes",), paid=True),
    Scenario("dispute and cancel", ("customer disputes",), ("admin cancels",), paid=True),
    Scenario("part shipped", people=("admin cancels",), parcel_units=1, paid=True),
    Scenario("part shipped, rest cancelled there", goods=("provider cancels",), parcel_units=1, paid=True),
    Scenario("part shipped, refunded", ("refund at the dashboard",), parcel_units=1, paid=True),
    Scenario("part shipped, disputed", ("customer disputes",), parcel_units=1, paid=True),
    Scenario("part shipped, rest not made", goods=("provider fails", "operator retries"), parcel_units=1, paid=True),
    Scenario("lost", goods=("a parcel is lost", "a parcel comes back"), parcel_units=1, paid=True),
    Scenario("return", people=("customer returns one unit",), paid=True, redeliveries=1),
    Scenario(
        "answers change nothing",
        people=("admin cancels",),
        goods=("confirm changes nothing", "cancel changes nothing"),
        paid=True,
    ),
    Scenario("draft removed", people=("admin cancels",), goods=("the draft is removed", "operator retries"), paid=True),
    Scenario("return, disputed", ("customer disputes",), ("customer returns one unit",), paid=True),
    Scenario("return, odd amounts", people=("customer returns one unit",) * 2, paid=True, unit=40),
    Scenario("part shipped, odd amounts", people=("admin cancels",), parcel_units=1, paid=True, unit=40),
    Scenario("provider holds", goods=("provider holds", "provider falls back to a draft"), paid=True),
)
"""Walked through completely by `make test`."""

DEEP: tuple[Scenario, ...] = (
    Scenario("deep: slow and cancelled", ("customer pays slowly", "customer fails"), ("customer cancels",)),
    Scenario(
        "deep: late, refunded", (*PAYS, "money comes after all", "refund at the dashboard"), ("customer cancels",)
    ),
    Scenario("deep: short and cancelled", PAYS, ("customer cancels",), stock=("hold lapses", "rival buys")),
    Scenario(
        "deep: backorder and cancelled",
        PAYS,
        ("customer cancels",),
        ("hold lapses", "rival buys", "stock arrives"),
        (),
        BACKORDER,
    ),
    Scenario("deep: paid twice, too much", (*PAYS, "customer pays too much"), ("admin cancels",), creates=2),
    Scenario("deep: disputed", (*PAYS, "customer disputes"), ("admin cancels",)),
    Scenario("deep: part shipped", PAYS, ("admin cancels",), goods=("provider fails",), parcel_units=1),
    Scenario("deep: part, refunded", (*PAYS, "refund at the dashboard"), ("admin cancels",), parcel_units=1),
    Scenario("deep: told twice", (*PAYS, "refund at the dashboard"), ("customer cancels",), redeliveries=1),
    Scenario("deep: not made", PAYS, ("admin cancels",), (), ("provider fails", "operator retries"), CANCEL_UNMADE),
    Scenario(
        "deep: held", ("customer disputes",), goods=("provider holds", "provider falls back to a draft"), paid=True
    ),
    Scenario("deep: returns", people=("customer returns one unit",) * 2, paid=True, redeliveries=1),
    Scenario("deep: authorized", (*PAYS, "authorisation lapses"), ("customer cancels",), ("rival buys",), manual=True),
)
"""Walked through by `make model`."""


def walk(scenario: Scenario, limit: int = 5_000_000, *, reduced: bool = True) -> Report:
    """Explore one scenario."""
    queued: dict[tuple[str, str], list[Any]] = {}
    if scenario.paid:
        start = _paid(scenario)
    else:
        start, queued = _placed(scenario)
    world = _world(scenario, start, queued, reduced)
    return world.explore(scenario.name, limit)


def _world(
    scenario: Scenario, start: dict[str, Any], queued: dict[tuple[str, str], list[Any]], reduced: bool = True
) -> World:
    machines: list[Any] = [
        OrdersMachine(scenario.policies),
        SharesMachine() if scenario.shares else PaymentsMachine(),
        InventoryMachine(queue=scenario.queue),
        FulfillmentMachine(),
    ]
    return World(
        machines, start, CHANNELS, queued, checks.at_rest, checks.ending, scenario.redeliveries, reduced=reduced
    )


def _placed(scenario: Scenario) -> tuple[dict[str, Any], dict[tuple[str, str], list[Any]]]:
    """After phase 3 of placing an order; CreatePayment is still to come (SAGA 3)."""
    placed = domain.place(new_order(), START, scenario.policies)
    payments: PaymentsValue | SharesValue = SharesValue(late=scenario.late_shares)
    if not scenario.shares:
        provider = Stripe(scenario.manual)
        payments = PaymentsValue(
            Payable("order"), provider, may=scenario.customer, creates=scenario.creates, unit=scenario.unit
        )
    start = {
        "orders": OrdersValue(placed.order, START, wishes=scenario.people),
        "payments": payments,
        "inventory": held(may=scenario.stock),
        "fulfillment": fulfillment(2, scenario.parcel_units, scenario.goods),
    }
    return start, {("orders", to): list(placed.events) for to in ("inventory", "payments")}


def _paid(scenario: Scenario) -> dict[str, Any]:
    """The nearest quiet state in which the order is in PROCESSING and fulfillment has just heard of it."""
    plain = replace(scenario, customer=PAYS, people=(), stock=(), goods=(), redeliveries=0)
    world = _world(plain, *_placed(plain))

    def wanted(values: dict[str, Any]) -> bool:
        payments: PaymentsValue = values["payments"]
        quiet = not (payments.may or payments.calls or payments.stripe.webhooks)
        return quiet and values["orders"].order.state is OrderState.PROCESSING

    values = world.first(wanted)
    return {
        "orders": replace(values["orders"], wishes=scenario.people),
        "payments": replace(values["payments"], may=scenario.customer),
        "inventory": replace(values["inventory"], may=scenario.stock),
        "fulfillment": replace(values["fulfillment"], may=scenario.goods),
    }
