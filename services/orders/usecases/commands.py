"""What orders can be asked to do, as plain values.

Why: a call, a completer that found an unfinished request, and a test ask in the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.chassis.idempotency import Request
from services.orders.domain import CancellationReason, Money


@dataclass(frozen=True, slots=True)
class CartLine:
    """One line of a cart; `seen` is the unit price that the customer saw, None if it is not to be compared."""

    sku: str
    quantity: int
    seen: Money | None = None


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Place an order. `flow` is INTENT, CHECKOUT or DEFERRED, `capture_method` AUTOMATIC or MANUAL."""

    request: Request
    lines: tuple[CartLine, ...]
    currency: str
    customer_id: str
    email: str
    shipping_address: Mapping[str, str]
    cart_id: str
    metadata: Mapping[str, str]
    flow: str
    capture_method: str


@dataclass(frozen=True, slots=True)
class HeldLine:
    """One line of a hold with what the order freezes; minor units of the cart's currency."""

    line: int
    sku: str
    quantity: int
    location: str
    name: str
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What payments is asked for: the same values whoever asks, and whenever."""

    order_id: str
    number: str
    due_minor: int
    currency: str
    flow: str
    manual_capture: bool
    payable_until: datetime
    email: str


@dataclass(frozen=True, slots=True)
class PaymentWay:
    """How a customer can pay; secrets pass through and are never stored (S-5)."""

    provider: str
    provider_object_id: str
    client_secret: str
    checkout_url: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """A customer's or an operator's wish to cancel; `caused_by` is the request's id."""

    order_id: str
    reason: CancellationReason
    actor: str
    note: str
    caused_by: str


@dataclass(frozen=True, slots=True)
class DecideCancellation:
    """An operator's answer to a customer's wish."""

    order_id: str
    approve: bool
    actor: str
    note: str
    caused_by: str


@dataclass(frozen=True, slots=True)
class UpdateMetadata:
    """Keys to set; the others stay."""

    order_id: str
    metadata: Mapping[str, str]
