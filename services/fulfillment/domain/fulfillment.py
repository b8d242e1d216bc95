"""The fulfilment of one order: its state, its object at the provider, its parcels and units.

Why: what can still be stopped follows from what was sent and what was seen, so both stand in one root (S-10).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class FulfillmentState(StrEnum):
    """Lifecycle of a fulfilment; the names of the proto enum."""

    QUEUED = "QUEUED"
    SUBMITTING = "SUBMITTING"
    SUBMITTED = "SUBMITTED"
    HELD = "HELD"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


_S = FulfillmentState
_LIVE = frozenset({_S.QUEUED, _S.SUBMITTING, _S.SUBMITTED, _S.HELD, _S.FAILED, _S.CANCELLING})
_END = frozenset({_S.CANCELLED, _S.COMPLETED})

# The provider moves its order as it likes, so every live state reaches every other; only the ends are narrow:
# CANCELLED begins again with a new round, COMPLETED is for ever.
TRANSITIONS: dict[FulfillmentState, frozenset[FulfillmentState]] = {
    **{state: (_LIVE | _END) - {state} for state in _LIVE},
    _S.CANCELLED: frozenset({_S.QUEUED, _S.COMPLETED, _S.CANCELLING}),
    _S.COMPLETED: frozenset(),
}


class ProviderState(StrEnum):
    """What the provider says of its order, in our words (F-18)."""

    ABSENT = "ABSENT"  # no object is known
    DRAFT = "DRAFT"  # not confirmed: nothing is charged, nothing is made
    PENDING = "PENDING"  # confirmed, can still be cancelled
    IN_PROCESS = "IN_PROCESS"  # being reviewed or made: cannot be cancelled
    ON_HOLD = "ON_HOLD"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    FULFILLED = "FULFILLED"  # every unit left


# How far the provider is: the answer of a call never takes it back behind what was seen meanwhile.
PROGRESS: dict[ProviderState, int] = {
    ProviderState.ABSENT: 0,
    ProviderState.DRAFT: 1,
    ProviderState.PENDING: 2,
    ProviderState.ON_HOLD: 2,
    ProviderState.FAILED: 2,
    ProviderState.IN_PROCESS: 3,
    ProviderState.FULFILLED: 4,
    ProviderState.CANCELED: 5,
}

# What a confirm makes something of; an order that failed at the provider is confirmed again after it was mended.
CONFIRMABLE = frozenset({ProviderState.DRAFT, ProviderState.FAILED})

# A cancel may be tried in these; F-18: inreview and inprocess cannot be cancelled.
CANCELLABLE = frozenset({ProviderState.DRAFT, ProviderState.PENDING, ProviderState.ON_HOLD, ProviderState.FAILED})


class ShipmentState(StrEnum):
    """Lifecycle of a parcel."""

    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    RETURNED = "RETURNED"


# From -> to; a parcel that was given up may still arrive or come back.
SHIPMENT_TRANSITIONS: dict[ShipmentState, frozenset[ShipmentState]] = {
    ShipmentState.SENT: frozenset({ShipmentState.DELIVERED, ShipmentState.FAILED, ShipmentState.RETURNED}),
    ShipmentState.FAILED: frozenset({ShipmentState.DELIVERED, ShipmentState.RETURNED}),
    ShipmentState.DELIVERED: frozenset({ShipmentState.RETURNED}),
    ShipmentState.RETURNED: frozenset(),
}


class Kind(StrEnum):
    """What an operation asks of the provider."""

    CREATE = "create"
    CONFIRM = "confirm"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class LineQuantity:
    """So many units of one line of the order."""

    line: int
    sku: str
    quantity: int


Units = tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel that left; `resent`: those of its units that had left before, which count once."""

    id: str
    provider_id: str
    state: ShipmentState
    lines: Units
    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    sent_at: datetime | None = None
    resent: Units = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A call to the provider that is PLANNED, SENT or UNKNOWN; kind and number name it in the journal."""

    kind: Kind
    number: int


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation that orders asked for and that has no answer yet (S-10)."""

    id: str
    refused: bool = False  # the provider said no


@dataclass(frozen=True, slots=True)
class Fulfillment:
    """The root of one order; `request_id` and `round` are those of the newest FulfillmentRequested."""

    order_id: str
    version: int = 0
    state: FulfillmentState = FulfillmentState.QUEUED
    request_id: str = ""
    round: int = 0
    lines: Units = ()
    number: int = 0  # of the object at the provider: a new object gets a new reference (F-17)
    object_id: str = ""
    provider_state: ProviderState = ProviderState.ABSENT
    sights: int = 0  # answers and fetches applied: a fetch begun before the newest one is out of date
    submitted: bool = False  # FulfillmentSubmitted was said for this request
    hold_id: str = ""  # orders' hold that is in force (S-23)
    reason: str = ""  # why it is held or failed
    tries: int = 0  # in vain, since it was first submitted, cancelled or asked for by a person
    next_try_at: datetime | None = None
    cancellation: Cancellation | None = None
    cancelled: Units = ()  # will certainly not ship, all of this request
    answered: tuple[str, ...] = ()  # requests of orders that have their answer
    operations: tuple[Operation, ...] = ()
    planned: int = 0  # operations ever planned: the next one's number
    shipments: tuple[Shipment, ...] = ()

    @property
    def sent_lines(self) -> Units:
        """Units that left, whatever became of them, and however often."""
        return minus(plus(unit for shipment in self.shipments for unit in shipment.lines), self.resent_lines)

    @property
    def resent_lines(self) -> Units:
        """Units that were sent again, as often as they were."""
        return plus(unit for shipment in self.shipments for unit in shipment.resent)

    @property
    def open_lines(self) -> Units:
        """Units that neither left nor were cancelled."""
        return minus(minus(self.lines, self.sent_lines), self.cancelled)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state in _END

    def shipment(self, provider_id: str) -> Shipment | None:
        """The parcel by the provider's id."""
        return next((s for s in self.shipments if s.provider_id == provider_id), None)

    def with_shipment(self, shipment: Shipment) -> Fulfillment:
        """The parcel put in, or in the place of the one with its id."""
        others = tuple(s for s in self.shipments if s.id != shipment.id)
        if len(others) == len(self.shipments):
            return replace(self, shipments=(*self.shipments, shipment))
        return replace(self, shipments=tuple(shipment if s.id == shipment.id else s for s in self.shipments))


def plus(units: Iterable[LineQuantity]) -> Units:
    """All together, one entry per line, in line order."""
    total: dict[int, LineQuantity] = {}
    for unit in units:
        known = total.get(unit.line)
        total[unit.line] = replace(unit, quantity=unit.quantity + known.quantity) if known else unit
    return tuple(total[line] for line in sorted(total))


def common(units: Units, other: Units) -> Units:
    """Units that both have, line by line."""
    return minus(units, minus(units, other))


def minus(units: Units, less: Units) -> Units:
    """Units without those of `less`, line by line, never below zero."""
    taken = {unit.line: unit.quantity for unit in plus(less)}
    left = (replace(unit, quantity=unit.quantity - taken.get(unit.line, 0)) for unit in units)
    return tuple(unit for unit in left if unit.quantity > 0)
