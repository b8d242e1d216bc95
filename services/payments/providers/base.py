"""What payments asks of a payment provider.

Why: the use cases know no provider's words; a second provider is a second package beside `stripe`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from services.chassis.operations import Operation
from services.payments.domain import AttemptSeen, Fact, Kind, OperationPlan, RefundSeen


class Malformed(Exception):
    """The body is not an event of this provider, though its signature was right."""


class NotPayable(Exception):
    """The provider cannot take this amount in this currency; the text says why and may be shown."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a create tells the provider about the order, beside the money: no lines, names or postal addresses (F-11).

    The e-mail address is stored with the operation, for the receipt that the provider sends.
    """

    order_id: str
    order_number: str = ""
    email: str = ""
    payable_until: datetime | None = None
    manual_capture: bool = False

    def stored(self) -> dict[str, Any]:
        """As JSON, kept with the operation: the same create may have to be planned anew (S-15)."""
        until = self.payable_until.isoformat() if self.payable_until else None
        return {**asdict(self), "payable_until": until}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From `stored`."""
        until = stored["payable_until"]
        return cls(**{**stored, "payable_until": datetime.fromisoformat(until) if until else None})


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One event of a provider, translated. `known` false: its type has no effect. `broken`: why it cannot be read."""

    event_id: str
    type: str
    order_id: str = ""
    object_ids: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    known: bool = False
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An intent or session as fetched. `word` is the provider's own; the secret and the page are never stored."""

    seen: AttemptSeen
    order_id: str
    word: str
    paid: bool
    created: datetime  # by the provider's clock
    secret: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object of the provider's list that cannot be read, and why."""

    object_id: str
    order_id: str
    problem: str


class Provider(Protocol):
    """Errors of the calls are Declined, Retryable and Unknown, and nothing else."""

    name: str
    max_in_flight: int

    def read_event(self, body: bytes) -> ProviderEvent:
        """Translate a webhook's body. Raises Malformed."""

    def check_amount(self, amount_minor: int, currency: str) -> None:
        """Raises NotPayable where the provider cannot take the amount (F-12)."""

    def unit_of(self, currency: str) -> int:
        """The least amount, in our minor units, of which all that the provider can move are multiples (F-12)."""

    def parameters(self, plan: OperationPlan, checkout: Checkout, now: datetime) -> dict[str, Any]:
        """The exact parameters of an operation, as they will be stored and sent."""

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Send a stored operation under its key; the provider's object without secrets."""

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """What became of an operation in doubt; None if its absence is proved."""

    def read_answer(self, kind: Kind, answer: Mapping[str, Any], at: datetime) -> AttemptSeen | RefundSeen | None:
        """The fact that an answer shows, a refusal's too; None where it shows nothing of what was asked for."""

    def secret_of(self, object_id: str) -> tuple[str, str] | None:
        """Client secret and page of an object that this process created of late; never stored."""

    async def fetch(self, object_id: str, at: datetime) -> Shown | None:
        """An intent or session as it is now; None if there is none."""

    async def refunds_of(self, payment_id: str, at: datetime) -> list[RefundSeen]:
        """All refunds of one capture."""

    def events(self, since: datetime, until: datetime) -> AsyncIterator[tuple[str, bytes]]:
        """(event id, body) of the provider's own log of events of that window (F-4)."""

    def payables(self, since: datetime, until: datetime, at: datetime) -> AsyncIterator[Shown | Unreadable]:
        """Intents and sessions that were made in the window; one that cannot be read stops no other."""

    async def close(self) -> None:
        """Close connections."""
