"""Facts of payments: each carries the whole verdict, so that the newest one is enough.

Class and field names equal those of the protobuf messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.orders.domain.fact import Fact
from services.orders.domain.order import Money
from services.orders.domain.states import CancellationOutcome, DisputeState, PaymentVerdict


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Verdict and amounts of the payable after the fact; minor units."""

    verdict: PaymentVerdict
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    due_minor: int
    currency: str
    currency_differs: bool = False
    dispute: DisputeState = DisputeState.NONE
    refund_pending_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFact(Fact):
    """A fact of payments; each carries the whole verdict."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCreated(PaymentFact):
    """An attempt can be paid."""

    provider_object_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequiresAction(PaymentFact):
    """The customer has to act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProcessing(PaymentFact):
    """The provider works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorized(PaymentFact):
    """Money is authorized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured(PaymentFact):
    """Money was captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptureFailed(PaymentFact):
    """The capture that `request_id` asked for was refused."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSucceeded(PaymentFact):
    """All that is due has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentShareSucceeded(PaymentFact):
    """One share of a split payable has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMismatched(PaymentFact):
    """Money came and differs from what is due."""

    provider_object_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentExcessReceived(PaymentFact):
    """Money beyond what is due."""

    object_id: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed(PaymentFact):
    """An attempt of the customer failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCanceled(PaymentFact):
    """An attempt ended at the provider without money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancellationSettled(PaymentFact):
    """The one answer to a cancellation (S-9)."""

    cancellation_id: str
    outcome: CancellationOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancellationDelayed(PaymentFact):
    """The answer waits for the provider."""

    cancellation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorizationExpired(PaymentFact):
    """An authorisation lapsed uncaptured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPending(PaymentFact):
    """A refund is under way; an empty id was made at the provider."""

    refund_id: str
    provider_refund_id: str = ""
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSucceeded(PaymentFact):
    """Money went back."""

    refund_id: str
    provider_refund_id: str = ""
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFailed(PaymentFact):
    """A refund failed and stays due."""

    refund_id: str
    provider_refund_id: str = ""
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeOpened(PaymentFact):
    """The customer's bank disputes a capture."""

    dispute_id: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeClosed(PaymentFact):
    """A dispute was decided: WON or LOST."""

    dispute_id: str
    amount: Money
    outcome: DisputeState
