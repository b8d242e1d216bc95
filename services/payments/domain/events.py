"""What payments tells the others: one class per message of `payments_events.proto`, same names, same fields.

Why: the door turns them into messages by name, so that a fact is spelled once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .payable import Money
from .states import DisputeState


@dataclass(frozen=True, slots=True)
class _OfAttempt:
    attempt_id: str
    provider_object_id: str


@dataclass(frozen=True, slots=True)
class PaymentCreated(_OfAttempt):
    """An attempt exists at the provider and can be paid."""


@dataclass(frozen=True, slots=True)
class PaymentRequiresAction(_OfAttempt):
    """The customer has to act."""


@dataclass(frozen=True, slots=True)
class PaymentProcessing(_OfAttempt):
    """The provider is working on it."""


@dataclass(frozen=True, slots=True)
class PaymentAuthorized(_OfAttempt):
    """Money is authorized, not captured."""

    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentCaptured(_OfAttempt):
    """Money was captured."""

    object_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentCaptureFailed(_OfAttempt):
    """The capture that orders asked for was refused."""

    request_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentSucceeded(_OfAttempt):
    """All that is due has come; said once (S-17)."""


@dataclass(frozen=True, slots=True)
class PaymentMismatched(_OfAttempt):
    """Captured money differs from what is due (R-1.15)."""

    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentExcessReceived:
    """Money beyond what is due (S-14)."""

    object_id: str
    amount: Money
    share_id: str = ""


@dataclass(frozen=True, slots=True)
class PaymentFailed(_OfAttempt):
    """An attempt of the customer failed."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentCanceled(_OfAttempt):
    """An attempt ended at the provider without money."""


@dataclass(frozen=True, slots=True)
class PaymentCancellationSettled:
    """The one answer to a cancellation (S-9); `outcome` is NOTHING_TAKEN or MONEY_TAKEN."""

    cancellation_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class PaymentCancellationDelayed:
    """The answer to a cancellation waits for the provider."""

    cancellation_id: str


@dataclass(frozen=True, slots=True)
class PaymentAuthorizationExpired(_OfAttempt):
    """An authorisation lapsed uncaptured."""

    amount: Money


@dataclass(frozen=True, slots=True)
class _OfRefund:
    refund_id: str
    provider_refund_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RefundPending(_OfRefund):
    """A refund is under way."""


@dataclass(frozen=True, slots=True)
class RefundSucceeded(_OfRefund):
    """Money went back."""


@dataclass(frozen=True, slots=True)
class RefundFailed(_OfRefund):
    """A refund failed; it stays due."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    """The customer's bank disputes a capture."""

    dispute_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    """A dispute was decided: WON or LOST."""

    dispute_id: str
    amount: Money
    outcome: DisputeState


Event = (
    PaymentCreated
    | PaymentRequiresAction
    | PaymentProcessing
    | PaymentAuthorized
    | PaymentCaptured
    | PaymentCaptureFailed
    | PaymentSucceeded
    | PaymentMismatched
    | PaymentExcessReceived
    | PaymentFailed
    | PaymentCanceled
    | PaymentCancellationSettled
    | PaymentCancellationDelayed
    | PaymentAuthorizationExpired
    | RefundPending
    | RefundSucceeded
    | RefundFailed
    | DisputeOpened
    | DisputeClosed
)
