"""The provider of goods in the model: drafts, confirmation, making, parcels, and what it does by itself (F-17, F-18).

Its webhooks are hints only: what counts is what a fetch shows, so the model has fetches and no webhooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.fulfillment.domain import (
    Kind,
    LineQuantity,
    ObjectSeen,
    OperationPlan,
    ProviderState,
    SeenShipment,
    ShipmentState,
)

CANCELLABLE = (ProviderState.DRAFT, ProviderState.PENDING, ProviderState.ON_HOLD, ProviderState.FAILED)
UNDER_WAY = (ProviderState.PENDING, ProviderState.IN_PROCESS, ProviderState.ON_HOLD)


@dataclass(frozen=True, slots=True)
class ProviderObject:
    """An order at the provider; `seen` once we fetched it as it is now."""

    object_id: str
    number: int
    state: ProviderState
    parcels: tuple[ShipmentState, ...] = ()
    seen: bool = False

    def changed(self, **changes: object) -> ProviderObject:
        """The object after a change that nobody has seen."""
        return replace(self, seen=False, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Printful:
    """All that the provider knows of the order; each parcel holds `parcel_units` of `units`."""

    units: int = 2
    parcel_units: int = 2
    objects: tuple[ProviderObject, ...] = ()

    def put(self, changed: ProviderObject) -> Printful:
        """The provider with the object as it is now."""
        others = tuple(old for old in self.objects if old.object_id != changed.object_id)
        return replace(self, objects=tuple(sorted((*others, changed), key=lambda item: item.number)))

    @property
    def left(self) -> int:
        """Units that left, ever."""
        return sum(len(item.parcels) * self.parcel_units for item in self.objects)

    def steps(self) -> Iterator[tuple[str, Printful]]:
        """What the provider must do some day: make, send, deliver."""
        for item in self.objects:
            whole = len(item.parcels) * self.parcel_units >= self.units
            if item.state is ProviderState.PENDING:
                yield "provider makes the goods", self.put(item.changed(state=ProviderState.IN_PROCESS))
            if item.state is ProviderState.ON_HOLD:
                yield "provider goes on", self.put(item.changed(state=ProviderState.PENDING))
            if item.state is ProviderState.IN_PROCESS and not whole:
                parcels = (*item.parcels, ShipmentState.SENT)
                last = len(parcels) * self.parcel_units >= self.units
                state = ProviderState.FULFILLED if last else item.state
                yield "a parcel leaves", self.put(item.changed(state=state, parcels=parcels))
            yield from self._parcel(item, ShipmentState.SENT, ShipmentState.DELIVERED, "a parcel arrives")

    def wish(self, wish: str) -> Iterator[Printful]:
        """What may happen there."""
        for item in self.objects:
            match wish:
                case "provider fails" if item.state in UNDER_WAY:
                    yield self.put(item.changed(state=ProviderState.FAILED))
                case "provider cancels" if item.state in UNDER_WAY:
                    yield self.put(item.changed(state=ProviderState.CANCELED))
                case "provider holds" if item.state is ProviderState.PENDING:
                    yield self.put(item.changed(state=ProviderState.ON_HOLD))
                case "provider falls back to a draft" if item.state is ProviderState.PENDING:
                    yield self.put(item.changed(state=ProviderState.DRAFT))
                case "the draft is removed" if item.state is ProviderState.DRAFT:
                    yield replace(self, objects=tuple(other for other in self.objects if other != item))
                case "a parcel is lost":
                    yield from (p for _, p in self._parcel(item, ShipmentState.SENT, ShipmentState.FAILED, ""))
                case "a parcel comes back":
                    yield from (p for _, p in self._parcel(item, ShipmentState.SENT, ShipmentState.RETURNED, ""))

    def _parcel(
        self, item: ProviderObject, before: ShipmentState, after: ShipmentState, label: str
    ) -> Iterator[tuple[str, Printful]]:
        """The first parcel in that state: the others are like it."""
        if before in item.parcels:
            at = item.parcels.index(before)
            parcels = (*item.parcels[:at], after, *item.parcels[at + 1 :])
            yield label, self.put(item.changed(parcels=parcels))


def sight(printful: Printful, item: ProviderObject, sights: int | None = None) -> ObjectSeen:
    """The object as a fetch or an answer shows it now."""
    lines = (LineQuantity(1, "A", printful.parcel_units),)
    shipments = tuple(
        SeenShipment(f"{item.object_id}-{number}", state, lines) for number, state in enumerate(item.parcels, 1)
    )
    return ObjectSeen(item.object_id, item.number, item.state, shipments, sights=sights)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider answered to an operation."""

    succeeded: bool
    seen: ObjectSeen | None = None
    code: str = ""
    absent: bool = False
    gone: bool = False


def carry_out(printful: Printful, plan: OperationPlan) -> tuple[Printful, Answer]:
    """The provider does what the operation asks; a second object under one reference is refused (F-17)."""
    known = next((item for item in printful.objects if item.number == plan.reference), None)
    if plan.kind is Kind.CREATE:
        if known is None:
            known = ProviderObject(f"object-{plan.reference}", plan.reference, ProviderState.DRAFT)
            printful = printful.put(known)
        return printful, Answer(True, sight(printful, known))
    if known is None:
        return printful, Answer(False, code="gone", gone=True)
    if plan.kind is Kind.CONFIRM:
        if known.state not in (ProviderState.DRAFT, ProviderState.FAILED):
            return printful, Answer(False, sight(printful, known), "not_a_draft")
        known = known.changed(state=ProviderState.PENDING)
    else:
        if known.state not in CANCELLABLE:
            return printful, Answer(False, None, "cannot_be_cancelled")
        known = known.changed(state=ProviderState.CANCELED)
    printful = printful.put(known)
    return printful, Answer(True, sight(printful, known))
