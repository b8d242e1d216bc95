"""Orders in the model: the real domain, and the people and deadlines that move it.

Time is a step: when a deadline of the order is the next thing to happen, the clock may jump to it at any moment.
The alarm of a cancellation that waits too long is put out of reach, so that it cannot stand in for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from services.orders import domain
from services.orders.domain import (
    CancellationReason,
    CancellationState,
    Order,
    OrderState,
    Outcome,
    Policies,
    RefundState,
)
from services.orders.domain.facts import Fact
from services.orders.domain.units import returnable
from tests.model.explorer import Step

START = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = timedelta(days=10_000)
CONSUMERS = {
    "OrderCreated": ("payments", "inventory"),
    "StockCommitRequested": ("inventory",),
    "StockReleaseRequested": ("inventory",),
    "StockShipRequested": ("inventory",),
    "StockReturnRequested": ("inventory",),
    "PaymentCancellationRequested": ("payments",),
    "PaymentCaptureRequested": ("payments",),
    "RefundRequested": ("payments",),
    "FulfillmentRequested": ("fulfillment",),
    "FulfillmentCancellationRequested": ("fulfillment",),
    "FulfillmentHoldRequested": ("fulfillment",),
    "FulfillmentResumeRequested": ("fulfillment",),
    "ReturnRequested": ("fulfillment",),
}
"""Who does more with an event of orders than claim it; the facts among them are for readers outside the saga."""


@dataclass(frozen=True, slots=True)
class OrdersValue:
    """The order, the time, the incidents so far and what people may still do."""

    order: Order
    now: datetime
    incidents: frozenset[str] = frozenset()
    wishes: tuple[str, ...] = ()


class OrdersMachine:
    """Orders."""

    name = "orders"

    def __init__(self, policies: Policies) -> None:
        self._policies = replace(policies, cancellation_alarm=NEVER, payable_for=timedelta(minutes=30))

    def receive(self, value: OrdersValue, message: Fact) -> Step:
        """Fold the fact and advance."""
        folded, advanced = domain.decide(value.order, message, value.now, self._policies)
        breach = ""
        if folded.outcome is Outcome.CONTRADICTION:
            breach = f"orders: {type(message).__name__} contradicts {value.order.state}"
        label = f"orders <- {type(message).__name__}"
        return self._step(label, value, advanced, breach=breach)

    def own_steps(self, value: OrdersValue) -> Iterator[Step]:
        """Deadlines that must pass and wishes that may be uttered."""
        order = value.order
        due = domain.due_at(order, self._policies)
        if due is not None and due < START + NEVER:
            later = replace(value, now=max(value.now, due))
            advanced = domain.tick(order, later.now, self._policies)
            yield self._step("time: a deadline passes", later, advanced, must=True)
        for wish in dict.fromkeys(value.wishes):
            left = list(value.wishes)
            left.remove(wish)
            if wish == "archive" and order.progress.returns:
                continue
            for advanced_or_not in self._wish(wish, value):
                if isinstance(advanced_or_not, domain.Advanced):
                    yield self._step(wish, replace(value, wishes=tuple(left)), advanced_or_not, must=False)
        if order.cancellation.state is CancellationState.PROPOSED:
            for approve in (True, False):
                decided = domain.decide_cancellation(order, approve, "admin", value.now, self._policies)
                assert isinstance(decided, domain.Advanced)
                yield self._step(f"admin decides: {approve}", value, decided, must=True)

    def _wish(self, wish: str, value: OrdersValue) -> Iterator[domain.Advanced | domain.Refusal]:
        order = value.order
        match wish:
            case "customer cancels":
                yield domain.cancel(order, CancellationReason.CUSTOMER, "customer", value.now, self._policies)
            case "admin cancels":
                yield domain.cancel(order, CancellationReason.ADMIN, "admin", value.now, self._policies)
            case "admin archives":
                yield domain.archive(order, "admin")
            case "admin retries the refund":
                for refund in order.progress.refunds:
                    if refund.state is RefundState.FAILED:
                        yield domain.retry_refund(order, refund.refund_id)
            case "customer returns one unit":
                one = tuple(replace(unit, quantity=1) for unit in returnable(order)[:1])
                yield domain.request_return(order, f"return-{len(order.progress.returns) + 1}", one)
            case _:
                raise AssertionError(wish)

    def _step(
        self, label: str, value: OrdersValue, advanced: domain.Advanced, *, must: bool = True, breach: str = ""
    ) -> Step:
        for entry in advanced.history:
            if (entry.from_state, entry.to_state) not in domain.TRANSITIONS:
                breach = f"illegal transition {entry.from_state} -> {entry.to_state}"
        sent = tuple((to, event) for event in advanced.events for to in CONSUMERS.get(type(event).__name__, ()))
        incidents = value.incidents | {incident.kind for incident in advanced.incidents}
        order = _plain(advanced.order)
        if order.state is not value.order.state:
            label = f"{label} ({order.state})"
        elif order.cancellation.state is not value.order.cancellation.state:
            label = f"{label} (cancellation {order.cancellation.state})"
        return Step(label, replace(value, order=order, incidents=incidents), sent, breach, must)


def new_order(units: int = 2, total: int = 200) -> Order:
    """One line, no shipping, payable for 30 minutes."""
    return domain.Order(
        order_id=domain.OrderId("order"),
        number="N",
        currency="GBP",
        version=1,
        subtotal_minor=total,
        shipping_minor=0,
        adjustments_minor=0,
        total_minor=total,
        lines=(domain.Line(1, "A", units, total // units),),
        payable_until=START + timedelta(minutes=30),
        payment=domain.Payment(domain.PaymentVerdict.UNPAID, total, "GBP"),
    )


def _plain(order: Order) -> Order:
    """The order without what decides nothing: its version, and the order in which requests were asked and answered."""
    progress = order.progress
    asked, answered = tuple(sorted(progress.asked)), tuple(sorted(progress.answered))
    return replace(order, version=0, progress=replace(progress, asked=asked, answered=answered))


def is_live(order: Order) -> bool:
    """Not ended."""
    return order.state in (OrderState.PENDING, OrderState.CONFIRMED, OrderState.PROCESSING, OrderState.SHIPPED)
