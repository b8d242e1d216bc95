"""Settings of the orders service.

Why: how long an order can be paid and what follows a failure are decisions of a shop, not of the code.
"""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config import ServiceSettings, by_profile
from services.orders.domain import FulfillmentFailurePolicy, PaymentFailurePolicy, Policies, StockShortagePolicy

DAY_MS = 86_400_000


class OrdersSettings(ServiceSettings):
    """`ONEFOLD_ORDERS_...`: what every service needs, the partners' addresses, and the shop's policies."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_ORDERS_")

    port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 takes a free one")
    inventory_target: str = Field(default="127.0.0.1:50052", description="host:port of inventory")
    payments_target: str = Field(default="127.0.0.1:50053", description="host:port of payments")
    inventory_timeout_ms: int = Field(default=2_000, ge=1, description="deadline of a call to inventory (SAGA 8)")
    payments_timeout_ms: int = Field(default=10_000, ge=1, description="deadline of a call to payments (SAGA 8)")
    payments_read_timeout_ms: int = Field(
        default=3_000, ge=1, description="deadline of reading how an order can be paid; afterwards it is left out"
    )
    payments_in_flight_max: int = Field(default=256, ge=1, description="most calls of each kind to payments at a time")
    payments_waiting_max: int = Field(
        default=2_048, ge=0, description="most calls to payments that wait for room; then RESOURCE_EXHAUSTED (SAGA 8)"
    )
    shipping_fees: dict[str, int] = Field(
        default_factory=dict,
        description='fee per order in minor units by currency, as JSON: {"GBP": 399}; others ship free',
    )
    payable_ms: int = by_profile(
        30 * 60_000,
        demo=10_000,
        test=30_000,
        description="how long an order can be paid after its last attempt (R-2.12)",
        ge=1,
    )
    payment_failure: PaymentFailurePolicy = Field(
        default=PaymentFailurePolicy.RETRY, description="a failed payment: payable again, or cancelled at once (R-2.9)"
    )
    stock_shortage: StockShortagePolicy = Field(
        default=StockShortagePolicy.CANCEL, description="a paid order without stock: cancelled, or it waits (R-1.16)"
    )
    fulfillment_failure: FulfillmentFailurePolicy = Field(
        default=FulfillmentFailurePolicy.HOLD,
        description="the provider will not make it: held for an operator, or cancelled",
    )
    backorder_ms: int = Field(default=14 * DAY_MS, ge=1, description="how long a backorder waits for stock")
    cancellation_alarm_ms: int = Field(
        default=DAY_MS, ge=1, description="an undecided or unanswered cancellation is an incident after this (S-8, S-9)"
    )
    archive_after_days: int | None = Field(
        default=None, ge=1, description="age at which an ended order is archived; unset: by hand only"
    )
    placing_tries_max: int = Field(
        default=10, ge=1, description="take-overs of an unfinished CreateOrder before it is undone (S-6)"
    )
    placing_abandon_after_ms: int = Field(
        default=60 * 60_000, ge=0, description="age below which no unfinished CreateOrder is undone, whatever its tries"
    )
    completer_batch_max: int = Field(default=64, ge=1, le=256, description="unfinished requests per run of the job")
    deadlines_batch_max: int = Field(default=256, ge=1, le=1024, description="orders per run of the deadlines job")
    deadline_retry_ms: int = Field(
        default=15 * 60_000, ge=1, description="how long an order is put off whose deadline could not be kept"
    )
    purge_batch_max: int = Field(default=1_000, ge=1, description="finished request ids deleted per run (S-5)")
    watchers_max: int = Field(default=1_000, ge=1, description="most streams of WatchOrder per process")
    watch_poll_ms: int = by_profile(
        500, demo=100, test=20, description="how often watched orders are looked at without a wake-up", ge=1
    )

    @property
    def policies(self) -> Policies:
        """What the domain needs to know."""
        return Policies(
            payment_failure=self.payment_failure,
            stock_shortage=self.stock_shortage,
            fulfillment_failure=self.fulfillment_failure,
            payable_for=timedelta(milliseconds=self.payable_ms),
            backorder_for=timedelta(milliseconds=self.backorder_ms),
            cancellation_alarm=timedelta(milliseconds=self.cancellation_alarm_ms),
            archive_after=timedelta(days=self.archive_after_days) if self.archive_after_days is not None else None,
        )

    @property
    def lease(self) -> timedelta:
        """How long a request id belongs to the try that claimed it."""
        return timedelta(milliseconds=self.request_lease_ms)
