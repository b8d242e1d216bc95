"""What the domain decides upon: requests of orders, answers and sights of the provider, and time.

Why: doors and providers translate into these few shapes, so that one pure function sees every cause there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .fulfillment import Kind, ProviderState, ShipmentState, Units


@dataclass(frozen=True, slots=True)
class RequestFulfillment:
    """Orders wants these units made and sent."""

    request_id: str
    round: int
    lines: Units


@dataclass(frozen=True, slots=True)
class CancelFulfillment:
    """Orders wants everything stopped that can be stopped; answered once (S-10)."""

    cancellation_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class HoldFulfillment:
    """Orders wants nothing more to leave for the time being (S-23).

    `taken_back`: whether the confirm that was under way was certainly not executed and is off; None: not tried yet.
    """

    request_id: str
    reason: str
    taken_back: bool | None = None


@dataclass(frozen=True, slots=True)
class ResumeFulfillment:
    """Orders lets it go on."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RetryFulfillment:
    """An operator wants a held or failed fulfilment tried again, with all its tries (R-4.7)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Address, prices and variant ids are there: the object can be created."""


@dataclass(frozen=True, slots=True)
class NotPrepared:
    """They are not. `for_person`: nothing will change by itself (R-4.3), else it is tried again."""

    reason: str
    for_person: bool


@dataclass(frozen=True, slots=True)
class SeenShipment:
    """A parcel as the provider showed it, its items turned into lines of the order.

    `resent`: the provider says that it sends again what another parcel should have brought. `canceled`: it was called
    off, so it is news only if it was shown as sent before.
    """

    provider_id: str
    state: ShipmentState
    lines: Units
    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    sent_at: datetime | None = None
    reason: str = ""
    resent: bool = False
    canceled: bool = False


@dataclass(frozen=True, slots=True)
class ObjectSeen:
    """The provider's order as it was fetched or answered; webhooks are hints only (F-21).

    `sights`: the root's count when the fetch began; None for the answer of an operation. `number`: of its reference.
    """

    object_id: str
    number: int
    state: ProviderState
    shipments: tuple[SeenShipment, ...] = ()
    reason: str = ""
    sights: int | None = None


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An operation SUCCEEDED or FAILED.

    `absent`: it was certainly never executed, by the journal's word or by look-ups (S-15); it may be planned anew.
    `reference`: number of the object that it was about; 0 means the present one. `gone`: the provider has no such
    object any more.
    """

    kind: Kind
    number: int
    succeeded: bool
    seen: ObjectSeen | None = None
    code: str = ""
    reason: str = ""
    absent: bool = False
    reference: int = 0
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A job looks at what waits for its next try."""


Input = (
    RequestFulfillment
    | CancelFulfillment
    | HoldFulfillment
    | ResumeFulfillment
    | RetryFulfillment
    | Prepared
    | NotPrepared
    | ObjectSeen
    | OperationEnded
    | TimePassed
)
