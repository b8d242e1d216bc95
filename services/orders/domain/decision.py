"""What a decision consists of: the new order, what to say, what a person must see, and what goes into the history.

One shape for facts, commands and deadlines, so that use cases store and append without knowing the saga.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.orders.domain.events import OrderEvent
from services.orders.domain.order import Order
from services.orders.domain.states import TRANSITIONS, OrderState, Outcome


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that a person must see; `subject` names the object, empty for the order itself."""

    kind: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of state (R-2.4); `actor` is customer, admin, a service's name, or time."""

    from_state: OrderState | None
    to_state: OrderState
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """The order after a decision and everything that the decision says."""

    order: Order
    events: tuple[OrderEvent, ...] = ()
    incidents: tuple[Incident, ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    def then(self, later: Advanced) -> Advanced:
        """Both decisions, one after the other."""
        return Advanced(
            later.order,
            self.events + later.events,
            self.incidents + later.incidents,
            self.history + later.history,
        )


@dataclass(frozen=True, slots=True)
class Folded:
    """The order after a fact moved its column, before `advance()` looks at it."""

    order: Order
    outcome: Outcome
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the order's state does not allow; a value, not an exception."""

    reason: str
    message: str


class IllegalTransition(Exception):
    """A rule asked for a pair of states that TRANSITIONS does not have: a defect, never an input."""


def move(order: Order, to: OrderState, actor: str, reason: str, **changes: Any) -> Advanced:
    """The order in its next state with its history entry; `changes` are further fields of the order."""
    if (order.state, to) not in TRANSITIONS:
        raise IllegalTransition(f"{order.state} -> {to} ({reason})")
    return Advanced(replace(order, state=to, **changes), history=(HistoryEntry(order.state, to, actor, reason),))
