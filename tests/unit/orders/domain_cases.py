"""Orders in every state and facts that fit them, for the tests of the domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.orders import domain
from services.orders.domain import (
    CancellationOutcome,
    CancellationReason,
    DisputeState,
    Line,
    LineQuantity,
    Money,
    Order,
    OrderId,
    Payment,
    PaymentVerdict,
    Policies,
    Units,
    facts,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
POLICIES = Policies()
TOTAL = 360  # 2 x 100 + 1 x 150 + shipping 30 - discount 20


def placed(**changes: Any) -> Order:
    """Two lines, three units, shipping and a discount; payable for half an hour."""
    order = Order(
        order_id=OrderId("order"),
        number="7K3M92QXTF",
        currency="GBP",
        subtotal_minor=350,
        shipping_minor=30,
        adjustments_minor=-20,
        total_minor=TOTAL,
        lines=(Line(1, "A", 2, 100), Line(2, "B", 1, 150)),
        payable_until=NOW + timedelta(minutes=30),
        payment=Payment(PaymentVerdict.UNPAID, TOTAL, "GBP"),
        cart_id="cart",
    )
    return replace(order, **changes)


def units(*pairs: tuple[int, int]) -> Units:
    """Units by (line, quantity)."""
    return tuple(LineQuantity(line, "AB"[line - 1], quantity) for line, quantity in pairs)


ALL = units((1, 2), (2, 1))


def said(verdict: PaymentVerdict = PaymentVerdict.UNPAID, **amounts: Any) -> facts.Snapshot:
    """A snapshot of the payable."""
    given = {"authorized_minor": 0, "captured_minor": 0, "refunded_minor": 0, "due_minor": TOTAL, "currency": "GBP"}
    return facts.Snapshot(verdict=verdict, **{**given, **amounts})


PAID = said(PaymentVerdict.PAID, captured_minor=TOTAL)
REFUNDED = said(PaymentVerdict.PAID, captured_minor=TOTAL, refunded_minor=TOTAL)


def now_and(order: Order, *told: facts.Fact, policies: Policies = POLICIES, now: datetime = NOW) -> domain.Advanced:
    """The order after these facts, and everything that was said on the way."""
    result = domain.Advanced(order)
    for fact in told:
        _, advanced = domain.decide(result.order, fact, now, policies)
        result = result.then(advanced)
    return result


def payment(kind: type[facts.PaymentFact], version: int, snapshot: facts.Snapshot = PAID, **more: Any) -> Any:
    """A fact of payments."""
    return kind(version=version, occurred_at=NOW, snapshot=snapshot, **more)


def succeeded(version: int = 5) -> facts.PaymentSucceeded:
    return facts.PaymentSucceeded(version=version, occurred_at=NOW, snapshot=PAID)


def committed(order: Order) -> facts.StockCommitted:
    return facts.StockCommitted(version=2, occurred_at=NOW, request_id=order.commit_id, round=order.round)


def unavailable(order: Order) -> facts.StockUnavailable:
    return facts.StockUnavailable(version=2, occurred_at=NOW, request_id=order.commit_id, round=order.round)


def submitted(order: Order) -> facts.FulfillmentSubmitted:
    return facts.FulfillmentSubmitted(version=2, occurred_at=NOW, request_id=order.fulfillment_id, round=order.round)


def parcel(order: Order, kind: type[facts.ParcelFact], shipment: str, lines: Units) -> Any:
    """A fact about a parcel."""
    ids: dict[str, Any] = {"request_id": order.fulfillment_id, "round": order.round}
    return kind(version=3, occurred_at=NOW, shipment_id=shipment, lines=lines, **ids)


def settled(
    order: Order, snapshot: facts.Snapshot | None = None, version: int = 50
) -> facts.PaymentCancellationSettled:
    """Payments' answer to the cancellation under way."""
    shown = snapshot or said(
        order.payment.verdict,
        captured_minor=order.payment.captured_minor,
        refunded_minor=order.payment.refunded_minor,
    )
    taken = CancellationOutcome.MONEY_TAKEN if shown.captured_minor else CancellationOutcome.NOTHING_TAKEN
    return facts.PaymentCancellationSettled(
        version=version, occurred_at=NOW, snapshot=shown, cancellation_id=order.cancellation_id, outcome=taken
    )


def stopped(order: Order, cancelled: Units, not_stoppable: Units = ()) -> facts.FulfillmentCancelled:
    """Fulfillment's answer to the cancellation under way."""
    return facts.FulfillmentCancelled(
        version=9,
        occurred_at=NOW,
        cancellation_id=order.cancellation_id,
        cancelled=cancelled,
        not_stoppable=not_stoppable,
    )


def cancelled_by(
    order: Order, reason: CancellationReason = CancellationReason.ADMIN, policies: Policies = POLICIES
) -> domain.Advanced:
    """A cancellation that somebody asked for; it must not be refused."""
    actor = "customer" if reason is CancellationReason.CUSTOMER else "admin"
    result = domain.cancel(order, reason, actor, NOW, policies)
    assert isinstance(result, domain.Advanced)
    return result


def confirmed() -> Order:
    return now_and(placed(), succeeded()).order


def processing() -> Order:
    order = confirmed()
    return now_and(order, committed(order)).order


def shipped() -> Order:
    """One of three units left."""
    order = processing()
    return now_and(order, submitted(order), parcel(order, facts.ShipmentSent, "one", units((1, 1)))).order


def delivered() -> Order:
    order = shipped()
    rest = units((1, 1), (2, 1))
    return now_and(
        order,
        parcel(order, facts.ShipmentSent, "two", rest),
        parcel(order, facts.ShipmentDelivered, "one", units((1, 1))),
        parcel(order, facts.ShipmentDelivered, "two", rest),
    ).order


def cancelled(reason: CancellationReason = CancellationReason.ADMIN) -> Order:
    """Cancelled when it was confirmed; the refund is asked for."""
    order = cancelled_by(confirmed(), reason).order
    return now_and(order, settled(order)).order


def expired() -> Order:
    """Nobody paid."""
    order = domain.tick(placed(), LATER, POLICIES).order
    return now_and(order, settled(order, said()), now=LATER).order


def refunded() -> Order:
    return now_and(delivered(), payment(facts.RefundSucceeded, 60, REFUNDED, refund_id="", amount=_ALL_MONEY)).order


def archived() -> Order:
    result = domain.archive(delivered(), "admin")
    assert isinstance(result, domain.Advanced)
    return result.order


def cancelling() -> Order:
    """PROCESSING, and a cancellation is REQUESTED."""
    return cancelled_by(processing()).order


_ALL_MONEY = Money(TOTAL, "GBP")

IN_STATE = {
    "PENDING": placed,
    "CONFIRMED": confirmed,
    "PROCESSING": processing,
    "SHIPPED": shipped,
    "DELIVERED": delivered,
    "CANCELLED": cancelled,
    "REFUNDED": refunded,
    "ARCHIVED": archived,
    "cancelling": cancelling,
}
"""An order in each state, and one whose cancellation is under way."""


def dispute(state: DisputeState, version: int, **amounts: Any) -> facts.PaymentFact:
    """A dispute of all money, opened or decided."""
    shown = said(PaymentVerdict.PAID, **{"captured_minor": TOTAL, "dispute": state, **amounts})
    ids: dict[str, Any] = {"version": version, "occurred_at": NOW, "snapshot": shown}
    ids |= {"dispute_id": "dispute", "amount": _ALL_MONEY}
    if state is DisputeState.OPEN:
        return facts.DisputeOpened(**ids)
    return facts.DisputeClosed(**ids, outcome=state)
