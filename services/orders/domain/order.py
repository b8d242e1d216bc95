"""The order: one root with a column per partner, its lines, and what was already asked.

Everything is frozen and hashable: a decision is a new value, and the model can hold millions of them in a set.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NewType

from services.orders.domain.states import (
    CancellationOutcome,
    CancellationReason,
    CancellationState,
    DisputeState,
    FulfillmentState,
    HoldState,
    OrderState,
    ParcelState,
    PaymentVerdict,
    RefundState,
    ReturnState,
    StockState,
)

OrderId = NewType("OrderId", str)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of an ISO 4217 currency."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class LineQuantity:
    """So many units, at least 1, of one order line."""

    line: int
    sku: str
    quantity: int


Units = tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One frozen line and how far its units have come.

    Each unit is open, shipped or cancelled. Shipped units can later be returned. `released` counts what inventory
    said it gave back.
    """

    line: int
    sku: str
    ordered: int
    unit_price_minor: int
    shipped: int = 0
    cancelled: int = 0
    released: int = 0
    returned: int = 0

    @property
    def open(self) -> int:
        """Units that neither left nor were cancelled."""
        return self.ordered - self.shipped - self.cancelled


@dataclass(frozen=True, slots=True)
class Payment:
    """Payments' verdict and amounts, copied from its fact with the highest version; minor units."""

    verdict: PaymentVerdict
    due_minor: int
    currency: str
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    refund_pending_minor: int = 0
    currency_differs: bool = False
    dispute: DisputeState = DisputeState.NONE
    version: int = 0


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The cancellation under way, done, or the number of the last one that was refused."""

    state: CancellationState = CancellationState.NONE
    number: int = 0
    reason: CancellationReason | None = None
    actor: str = ""
    asked_at: datetime | None = None
    captured_before_minor: int = 0
    payment_answer: CancellationOutcome | None = None
    fulfillment_asked: bool = False
    fulfillment_answered: bool = False
    cancelled: Units = ()
    not_stoppable: Units = ()
    alarmed: bool = False


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund that orders asked for, or one made at the provider; the amount is what payments says it really is."""

    refund_id: str
    amount_minor: int
    currency: str
    object_id: str = ""
    state: RefundState = RefundState.ASKED
    version: int = 0
    asked_minor: int = 0  # what it was when it was asked for
    since: int = 0  # version of its first failure since it last succeeded; made at the provider: of its first fact
    used_minor: int = 0  # made at the provider: what tries of ours that failed were asked for less


@dataclass(frozen=True, slots=True)
class Excess:
    """Money beyond what is due, by the provider's capture id (S-14)."""

    object_id: str
    amount: Money
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute and the money that the bank keeps while it is open or lost."""

    dispute_id: str
    amount_minor: int
    state: DisputeState


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel; `told` once OrderShipped was said; `resent`: those of its units that left before and count once."""

    shipment_id: str
    state: ParcelState
    lines: Units
    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    told: bool = False
    resent: Units = ()


@dataclass(frozen=True, slots=True)
class Return:
    """Goods on their way back; `settled` once restock and refund were asked for."""

    return_id: str
    state: ReturnState
    lines: Units
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What was asked and told, so that each is asked and told once, and what came besides the columns."""

    asked: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    refunds: tuple[Refund, ...] = ()
    given_back: tuple[Refund, ...] = ()  # made at the provider, by its ids; the oldest first
    excesses: tuple[Excess, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    parcels: tuple[Parcel, ...] = ()
    returns: tuple[Return, ...] = ()
    refused: tuple[CancellationReason, ...] = ()
    withdrawn: Units = ()
    submitted: bool = False
    hold: HoldState = HoldState.NONE
    holds: int = 0
    capture_failed: bool = False
    failed_version: int = 0
    told_failed_version: int = 0
    told_refunded_minor: int = 0
    last_attempt_at: datetime | None = None
    backorder_until: datetime | None = None
    ended_at: datetime | None = None
    archived_from: OrderState | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The root row of an order. Amounts in minor units of `currency`; times are UTC."""

    order_id: OrderId
    number: str
    currency: str
    subtotal_minor: int
    shipping_minor: int
    adjustments_minor: int
    total_minor: int
    lines: tuple[Line, ...]
    payable_until: datetime
    payment: Payment
    cart_id: str = ""
    reservation: int = 1
    state: OrderState = OrderState.PENDING
    version: int = 0
    round: int = 1
    stock: StockState = StockState.NONE
    fulfillment: FulfillmentState = FulfillmentState.NONE
    cancellation: Cancellation = Cancellation()
    progress: Progress = field(default_factory=Progress)

    @property
    def commit_id(self) -> str:
        """Id of the commit request of the present round."""
        return f"{self.order_id}:commit:{self.round}"

    @property
    def capture_id(self) -> str:
        """Id of the capture request of the present round."""
        return f"{self.order_id}:capture:{self.round}"

    @property
    def fulfillment_id(self) -> str:
        """Id of the fulfilment request of the present round."""
        return f"{self.order_id}:fulfil:{self.round}"

    @property
    def cancellation_id(self) -> str:
        """Id of the newest cancellation; meaningless while its number is 0."""
        return f"{self.order_id}:cancel:{self.cancellation.number}"

    @property
    def open_units(self) -> Units:
        """Units that neither left nor were cancelled, per line."""
        return tuple(LineQuantity(line.line, line.sku, line.open) for line in self.lines if line.open > 0)

    @property
    def any_shipped(self) -> bool:
        """True once a unit left."""
        return any(line.shipped for line in self.lines)

    @property
    def is_paid(self) -> bool:
        """Captured at least the frozen total, in its currency, and not all of it given back (R-1.15)."""
        paid = self.payment
        if paid.currency != self.currency or paid.verdict is PaymentVerdict.MISMATCHED:
            return False
        return paid.captured_minor >= self.total_minor and (
            paid.refunded_minor < paid.captured_minor or self.total_minor == 0
        )

    @property
    def is_authorized(self) -> bool:
        """All that is due is authorized and can still be captured."""
        paid = self.payment
        return (
            paid.verdict is PaymentVerdict.AUTHORIZED
            and paid.currency == self.currency
            and paid.authorized_minor + paid.captured_minor >= self.total_minor
        )

    @property
    def is_refunded(self) -> bool:
        """All captured money went back."""
        return 0 < self.payment.captured_minor <= self.payment.refunded_minor

    @property
    def dispute_open(self) -> bool:
        """True while any dispute is undecided."""
        return self.payment.dispute is DisputeState.OPEN or any(
            dispute.state is DisputeState.OPEN for dispute in self.progress.disputes
        )

    @property
    def dispute_lost(self) -> bool:
        """True once any dispute was decided for the customer."""
        return self.payment.dispute is DisputeState.LOST or any(
            dispute.state is DisputeState.LOST for dispute in self.progress.disputes
        )

    def was_asked(self, request_id: str) -> bool:
        """True once the request was made."""
        return request_id in self.progress.asked

    def asking(self, request_id: str) -> Order:
        """The same order, remembering the request."""
        return self.with_progress(asked=(*self.progress.asked, request_id))

    def with_progress(self, **changes: object) -> Order:
        """The same order with fields of its progress replaced."""
        return replace(self, progress=replace(self.progress, **changes))  # type: ignore[arg-type]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Ids of requests whose answer is still to come."""
        return tuple(request for request in self.progress.asked if request not in self.progress.answered)
