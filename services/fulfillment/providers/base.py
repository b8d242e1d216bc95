"""What fulfillment asks of a fulfilment provider.

Why: the use cases know no provider's words; a second provider is a second file beside `printful`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from services.chassis.operations import Operation
from services.fulfillment.domain import ObjectSeen

GONE: Final = "GONE"  # error code of a confirm or cancel: the provider has no such object (any more)


class Malformed(Exception):
    """The body is not a webhook of this provider."""


class NotShippable(Exception):
    """The provider cannot take this order as it is; the text says why and may be shown to an operator."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where it goes; read from orders when it is needed, kept only in the journal's parameters."""

    name: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country_code: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Item:
    """Units of one line to be made: the provider's variant and what the customer paid for one."""

    line: int
    sku: str
    quantity: int
    variant_id: str
    name: str
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that a create tells the provider. Amounts in minor units of `currency`."""

    order_id: str
    order_number: str
    reference: int  # number of the object for this order, from 1
    recipient: Recipient
    items: tuple[Item, ...]
    currency: str
    subtotal_minor: int
    shipping_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class Hint:
    """A webhook, read just far enough: which object to fetch, and what makes it the same as another (F-19)."""

    type: str
    object_id: str
    external_id: str
    content_hash: bytes


class Provider(Protocol):
    """Errors of the calls are Declined, Retryable and Unknown, and nothing else."""

    name: str
    variant_key: str
    max_in_flight: int

    def read_hint(self, body: bytes) -> Hint:
        """What a webhook is about. Raises Malformed."""

    def external_id(self, order_id: str, reference: int) -> str:
        """Our name for the object at the provider: always the same for the same two."""

    def order_of(self, external_id: str) -> str | None:
        """The order whose object has that name; None for a name that is not ours."""

    def create_parameters(self, draft: Draft) -> dict[str, Any]:
        """The exact parameters of a create. Raises NotShippable."""

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Send a stored operation; the provider's object with its parcels. Declined with GONE where it has none."""

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """What became of an operation in doubt; None if its absence is proved."""

    async def fetch(self, external_id: str) -> dict[str, Any] | None:
        """The object with its parcels as it is now; None if there is none."""

    def read_object(self, answer: Mapping[str, Any], at: datetime) -> ObjectSeen:
        """The sight that an answer shows, its items turned back into lines of the order."""

    def unknown_words(self, answer: Mapping[str, Any]) -> tuple[str, ...]:
        """Words for states in an answer that the adapter does not know; `read_object` let them move nothing."""

    async def close(self) -> None:
        """Close connections."""
