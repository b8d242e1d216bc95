"""What orders says: facts for everybody and requests addressed to one service, as plain values.

Class and field names equal those of the protobuf messages; the context (version, time, cause) is added by the door.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.orders.domain.order import Money, Units
from services.orders.domain.states import CancellationReason


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """The order was placed."""

    number: str
    reservation: int
    lines: Units
    total: Money
    payable_until: datetime


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    """Paid, or authorized in full."""

    number: str
    cart_id: str
    total: Money


@dataclass(frozen=True, slots=True)
class OrderPaymentFailed:
    """An attempt to pay failed; it can be paid again until then."""

    number: str
    payable_until: datetime


@dataclass(frozen=True, slots=True)
class OrderProcessing:
    """Paid, stock committed, fulfilment asked for."""

    number: str


@dataclass(frozen=True, slots=True)
class OrderBackordered:
    """Stock is short; the order waits for it until the deadline."""

    number: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """A parcel left."""

    number: str
    shipment_id: str
    carrier: str
    tracking_number: str
    tracking_url: str
    lines: Units


@dataclass(frozen=True, slots=True)
class OrderDelivered:
    """Every unit is delivered, cancelled, returned or lost."""

    number: str


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The order is cancelled; `refund` goes back to the customer."""

    number: str
    reason: CancellationReason
    refund: Money


@dataclass(frozen=True, slots=True)
class OrderPartiallyCancelled:
    """Some units are cancelled, the order goes on."""

    number: str
    cancelled: Units
    refund: Money


@dataclass(frozen=True, slots=True)
class OrderCancellationRefused:
    """The cancellation was refused, the order goes on."""

    number: str
    cancellation_id: str
    reason: CancellationReason


@dataclass(frozen=True, slots=True)
class OrderReopened:
    """Money arrived for an expired order."""

    number: str
    round: int


@dataclass(frozen=True, slots=True)
class OrderPartiallyRefunded:
    """Some money went back; `refunded` is the sum ever."""

    number: str
    refunded: Money


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    """All money went back; `refunded` is the sum ever."""

    number: str
    refunded: Money


@dataclass(frozen=True, slots=True)
class OrderArchived:
    """The order was put away."""

    number: str


@dataclass(frozen=True, slots=True)
class StockCommitRequested:
    """To inventory: turn the hold into committed stock."""

    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True)
class StockReleaseRequested:
    """To inventory: give back these units; no lines means all that has not shipped."""

    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True)
class StockShipRequested:
    """To inventory: a parcel left."""

    request_id: str
    shipment_id: str
    lines: Units


@dataclass(frozen=True, slots=True)
class StockReturnRequested:
    """To inventory: goods came back."""

    request_id: str
    return_id: str
    lines: Units


@dataclass(frozen=True, slots=True)
class PaymentCancellationRequested:
    """To payments: close the payable and end every attempt."""

    cancellation_id: str
    reason: CancellationReason


@dataclass(frozen=True, slots=True)
class PaymentCaptureRequested:
    """To payments: capture what was authorized."""

    request_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RefundRequested:
    """To payments: give money back, from `object_id` if it is named."""

    refund_id: str
    amount: Money
    object_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class FulfillmentRequested:
    """To fulfillment: make and send the goods."""

    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True)
class FulfillmentCancellationRequested:
    """To fulfillment: stop what can be stopped."""

    cancellation_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class FulfillmentHoldRequested:
    """To fulfillment: hold what has not shipped."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class FulfillmentResumeRequested:
    """To fulfillment: go on after a hold."""

    request_id: str


@dataclass(frozen=True, slots=True)
class ReturnRequested:
    """To fulfillment: the customer wants to send goods back."""

    return_id: str
    lines: Units


OrderFact = (
    OrderCreated
    | OrderConfirmed
    | OrderPaymentFailed
    | OrderProcessing
    | OrderBackordered
    | OrderShipped
    | OrderDelivered
    | OrderCancelled
    | OrderPartiallyCancelled
    | OrderCancellationRefused
    | OrderReopened
    | OrderPartiallyRefunded
    | OrderRefunded
    | OrderArchived
)
OrderRequest = (
    StockCommitRequested
    | StockReleaseRequested
    | StockShipRequested
    | StockReturnRequested
    | PaymentCancellationRequested
    | PaymentCaptureRequested
    | RefundRequested
    | FulfillmentRequested
    | FulfillmentCancellationRequested
    | FulfillmentHoldRequested
    | FulfillmentResumeRequested
    | ReturnRequested
)
OrderEvent = OrderFact | OrderRequest
