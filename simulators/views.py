"""What the control API says and takes, typed once for the server, the client and its readers."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from .shared.faults import Answer, ApiFaultKind, WebhookFaultKind

Vendor = Literal["stripe", "printful"]


class IntentView(BaseModel):
    """A PaymentIntent; `payable`: a customer could still pay it."""

    id: str
    order_id: str | None
    status: str
    amount: int
    amount_received: int
    currency: str
    payable: bool
    client_secret: str | None
    latest_charge: str | None
    error_code: str | None


class SessionView(BaseModel):
    """A Checkout Session; `redirect_url` is where the browser goes next, when it goes."""

    id: str
    order_id: str | None
    status: str
    payment_status: str
    payment_intent: str | None
    payable: bool
    redirect_url: str | None = None
    error_code: str | None = None


class RefundView(BaseModel):
    """A refund in minor units."""

    id: str
    payment_intent: str
    amount: int
    currency: str
    status: str


class DisputeView(BaseModel):
    """A dispute in minor units."""

    id: str
    payment_intent: str
    amount: int
    currency: str
    status: str


class MovementView(BaseModel):
    """One movement of money, in minor units."""

    sequence: int
    at: float
    kind: str
    order_id: str | None
    payment_intent: str
    object_id: str
    amount_minor: int
    currency: str


class OrderLedger(BaseModel):
    """All money of one order (or of all): sums in minor units by lower-case currency; zero sums may be absent."""

    order_id: str | None
    times_charged: int
    captured: dict[str, int]
    refunded: dict[str, int]
    disputed: dict[str, int]
    net: dict[str, int]
    refund_pending: dict[str, int] = Field(description="Part of `refunded` that has not arrived yet.")
    payable: list[str] = Field(description="Intents and open sessions that a customer could still pay.")
    intents: list[IntentView]
    sessions: list[SessionView]
    refunds: list[RefundView]
    disputes: list[DisputeView]
    entries: list[MovementView]


class ParcelView(BaseModel):
    """A parcel; `units` by item id."""

    id: int
    status: str
    delivery_status: str
    carrier: str
    tracking_number: str
    tracking_url: str
    units: dict[int, int]


class PrintfulOrderView(BaseModel):
    """An order at Printful; `items` maps item id to (sync_variant_id, quantity)."""

    id: int
    external_id: str | None
    status: str
    items: dict[int, tuple[int, int]]
    parcels: list[ParcelView]


class HappeningView(BaseModel):
    """One line of Printful's ledger."""

    sequence: int
    at: float
    kind: str
    external_id: str
    order: int
    shipment: int | None
    units: dict[int, int]
    amount: str | None
    currency: str | None


class ParcelLedger(BaseModel):
    """All that happened for one external id (or all): units by sync_variant_id, charges as decimal texts."""

    external_id: str | None
    status: str | None
    times_created: int
    times_charged: int
    times_charge_returned: int
    charged: dict[str, str]
    parcels_sent: int
    parcels_delivered: int
    parcels_returned: int
    units_sent: dict[int, int]
    orders: list[PrintfulOrderView]
    entries: list[HappeningView]


class ApiFaultRequest(BaseModel):
    """A call that shall go wrong."""

    vendor: Vendor
    operation: str = "*"
    kind: ApiFaultKind
    order_id: str = "*"
    times: int = Field(1, ge=1)
    answer: Answer = "close"
    delay_seconds: float = Field(0.0, ge=0)
    code: str = "generic_decline"
    probability: float = Field(1.0, ge=0, le=1)


class WebhookFaultRequest(BaseModel):
    """A webhook that shall go wrong."""

    vendor: Vendor
    type: str = "*"
    kind: WebhookFaultKind
    order_id: str = "*"
    times: int = Field(1, ge=1)
    copies: int = Field(1, ge=1, le=100)
    delay_seconds: float = Field(0.0, ge=0)
    probability: float = Field(1.0, ge=0, le=1)


class FaultsView(BaseModel):
    """The faults still to come."""

    api: list[dict[str, Any]]
    webhook: list[dict[str, Any]]


class EndpointsRequest(BaseModel):
    """Where webhooks go; only what is given changes, an empty url stops them."""

    stripe_url: str | None = None
    stripe_secret: str | None = None
    stripe_types: str | None = None
    printful_url: str | None = None
    printful_secret: str | None = None
    printful_version: Literal["v1", "v2"] | None = None


class DeliveryReport(BaseModel):
    """One round: deliveries answered 2xx, deliveries that were not, and what is still queued."""

    sent: int
    failed: int
    waiting: int


class AttemptView(BaseModel):
    """One attempt at a delivery; `status_code` -1: no answer."""

    vendor: str
    type: str
    event_id: str
    order_id: str | None
    attempt: int
    status_code: int
    fault: str | None
    at: float


class ClockView(BaseModel):
    """The simulators' time, unix seconds."""

    now: float
