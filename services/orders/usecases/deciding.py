"""Decisions on locked orders, gathered and stored together.

Why: facts, commands and deadlines end in the same place: history, events and incidents are written with the change
that makes them true, so that nobody can skip one of them (R-2.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from services.chassis import incidents, outbox
from services.chassis.db import Transaction
from services.orders.domain import Advanced, CancellationState, HistoryEntry, Order, OrderState, Policies, due_at
from services.orders.published import message_of
from services.orders.store import roots
from services.orders.store.roots import Change, Root

ANOTHER_ORDERS: Final = "payment_of_another_order"
"""Kind of the incident that a provider's object is told of two orders."""


@dataclass(slots=True)
class _Work:
    before: Root
    after: Order
    note: str
    history: list[tuple[HistoryEntry, str, int]] = field(default_factory=list)
    seen: dict[str, datetime] = field(default_factory=dict)
    ticked: bool = False


class Decisions:
    """What becomes of a set of locked orders at `now`."""

    def __init__(self, locked: Mapping[str, Root], now: datetime, policies: Policies) -> None:
        self.now = now
        self.policies = policies
        self._work = {order_id: _Work(root, root.order, root.note) for order_id, root in locked.items()}
        self._events: list[outbox.OutgoingEvent] = []
        self._incidents: list[incidents.Incident] = []

    def order(self, order_id: str) -> Order | None:
        """The order after the decisions so far; None if there is none."""
        work = self._work.get(order_id)
        return work.after if work else None

    def take(
        self, order_id: str, advanced: Advanced, *, caused_by: str, fact_at: datetime | None = None, note: str = ""
    ) -> None:
        """Make a decision the order's; `caused_by` is empty for time, `fact_at` is when its fact became true.

        `note` says why the cancellation is wanted; the history tells it when that cancellation ends the order.
        """
        work = self._work[order_id]
        before, work.after = work.after, advanced.order
        if note or before.cancellation.number != advanced.order.cancellation.number:
            work.note = note
        for entry in advanced.history:
            work.history.append((_with_note(entry, work), caused_by, advanced.order.version))
        if advanced.order.cancellation.state is CancellationState.NONE:
            work.note = ""
        for event in advanced.events:
            message = message_of(event, order_id, advanced.order.version, self.now, caused_by)
            self._events.append(outbox.outgoing(message, key=order_id, now=self.now))
        for incident in advanced.incidents:
            subject = f"{order_id} {incident.subject}".strip()
            details = {"number": advanced.order.number, "state": advanced.order.state, "subject": incident.subject}
            self.open_incident(incident.kind, subject, order_id, details)
        if fact_at is not None and advanced.order.progress.parcels != before.progress.parcels:
            known = {parcel.shipment_id: parcel.state for parcel in before.progress.parcels}
            for parcel in advanced.order.progress.parcels:
                if known.get(parcel.shipment_id) is not parcel.state:
                    work.seen[parcel.shipment_id] = fact_at

    def ticked(self, order_id: str) -> None:
        """Time has had its say: what is still due moves nothing until something else does; later times remain."""
        self._work[order_id].ticked = True

    def open_incident(self, kind: str, subject: str, order_id: str, details: Mapping[str, object]) -> None:
        """Show something to a person."""
        self._incidents.append(incidents.Incident(kind, subject, self.now, order_id=order_id, details=dict(details)))

    async def store(self, tx: Transaction) -> None:
        """Write all of it; a fixed number of statements."""
        changes = [
            self._change(work)
            for work in self._work.values()
            if work.after != work.before.order or work.note != work.before.note or work.ticked
        ]
        await roots.save(tx, changes, self.now)
        await outbox.append(tx, self._events)
        await incidents.open_incidents(tx, self._incidents)

    def _change(self, work: _Work) -> Change:
        due = due_at(work.after, self.policies, self.now if work.ticked else None)
        return Change(work.before, work.after, work.note, due, work.history, work.seen)


def _with_note(entry: HistoryEntry, work: _Work) -> HistoryEntry:
    """The entry that ends the order by a cancellation says what its asker noted."""
    ends = entry.to_state in (OrderState.CANCELLED, OrderState.REFUNDED)
    if not work.note or not ends or work.after.cancellation.state is not CancellationState.DONE:
        return entry
    return replace(entry, reason=f"{entry.reason}: {work.note}")
