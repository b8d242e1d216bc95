"""What the domain decides upon: commands of orders and callers, facts of the provider, and time.

Why: doors and providers translate into these few shapes, so that one pure function sees every cause there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .payable import Money
from .states import AttemptState, DisputeState, End, Flow, Kind, RefundState


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """Begin an attempt, or answer the live one (R-1.5). `attempt_id` is used where a new one begins."""

    attempt_id: str
    request_id: str
    due: Money
    flow: Flow
    manual_capture: bool = False


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """Orders says what is due (R-1.13, R-1.15)."""

    due: Money


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """Close the payable and end every attempt; to be answered once (S-9)."""

    cancellation_id: str


@dataclass(frozen=True, slots=True)
class CapturePayment:
    """Capture what was authorized, or a part of it (R-1.21)."""

    request_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class RequestRefund:
    """Give money back; `object_id` empty: any capture (S-18)."""

    refund_id: str
    amount: Money
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An intent or session as the provider showed it at `occurred_at`."""

    occurred_at: datetime
    state: AttemptState
    session_id: str = ""
    payment_id: str = ""
    attempt_id: str = ""  # ours, from the provider's metadata
    new_id: str = ""  # for an attempt that nobody knows yet
    currency: str = ""
    authorized_minor: int = 0
    captured_minor: int = 0
    charge_id: str = ""
    method: str = ""
    end: End = End.NONE
    failed: bool = False  # the fact is a failure of the customer: counted
    failure_code: str = ""
    failure_message: str = ""
    asked: bool = False  # fetched by us, not sent by the provider
    as_of: datetime | None = None  # of an asked one: the state's time that we knew; the two clocks need not agree

    @property
    def object_id(self) -> str:
        """What the customer pays: the session, else the intent."""
        return self.session_id or self.payment_id

    @property
    def money_id(self) -> str:
        """What money is counted by: the intent, whoever tells of it (S-13)."""
        return self.payment_id or self.session_id


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """A refund as the provider showed it."""

    occurred_at: datetime
    provider_refund_id: str
    payment_id: str
    amount: Money
    state: RefundState
    our_id: str = ""  # from the provider's metadata
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChargeRefunded:
    """The provider's total of refunds of one capture: a hint to ask for what is not known (F-8)."""

    occurred_at: datetime
    payment_id: str
    total: Money


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """A dispute as the provider showed it; `withdrawn` false for an inquiry."""

    occurred_at: datetime
    dispute_id: str
    payment_id: str
    amount: Money
    state: DisputeState
    withdrawn: bool = True


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An operation is SUCCEEDED or FAILED; `seen` is the object as the answer showed it.

    `absent`: look-ups proved that it was never executed, so it may be planned anew under a new key (S-15).
    """

    operation_id: str
    kind: Kind
    target_id: str
    succeeded: bool
    seen: AttemptSeen | RefundSeen | None = None
    code: str = ""
    reason: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A job looks at what waits."""


Fact = AttemptSeen | RefundSeen | ChargeRefunded | DisputeSeen
Input = (
    CreatePayment
    | OrderPlaced
    | CancelPayment
    | CapturePayment
    | RequestRefund
    | AttemptSeen
    | RefundSeen
    | ChargeRefunded
    | DisputeSeen
    | OperationEnded
    | TimePassed
)
