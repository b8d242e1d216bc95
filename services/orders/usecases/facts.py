"""Facts of the partners, folded in the order in which they came.

Why: several facts about one order are folded over one loaded state and stored once, and each has an outcome (S-25).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.chassis.db import Transaction
from services.chassis.inbox import Outcome
from services.orders import domain
from services.orders.domain import Policies, facts
from services.orders.store import roots
from services.orders.usecases.deciding import ANOTHER_ORDERS, Decisions

CONSUMER: Final = "orders"
"""Name of the consumer in the inbox and of its parked keys."""


@dataclass(frozen=True, slots=True)
class IncomingFact:
    """A fact about an order; with the provider's object and the lines' locations, where it names them."""

    event_id: str
    order_id: str
    fact: facts.Fact
    object_id: str = ""
    locations: Mapping[int, str] = field(default_factory=dict)


async def apply_facts(
    tx: Transaction, incoming: Sequence[IncomingFact], now: datetime, policies: Policies
) -> dict[str, Outcome]:
    """Lock the orders, fold the facts, store what changed; an outcome for each event id."""
    locked = await roots.lock(tx, (each.order_id for each in incoming))
    decisions = Decisions(locked, now, policies)
    owners = await roots.add_objects(tx, _objects(incoming, locked), now)
    outcomes = {each.event_id: _fold(decisions, each, owners) for each in incoming}
    await decisions.store(tx)
    await roots.move_lines(tx, _locations(incoming, outcomes))
    return outcomes


def _fold(decisions: Decisions, incoming: IncomingFact, owners: Mapping[str, str]) -> Outcome:
    order = decisions.order(incoming.order_id)
    if order is None:
        return _without_order(decisions, incoming)
    if owners.get(incoming.object_id, order.order_id) != order.order_id:
        details = {"event": type(incoming.fact).__name__, "belongs_to": owners[incoming.object_id]}
        subject = f"{order.order_id} {incoming.object_id}"
        decisions.open_incident(ANOTHER_ORDERS, subject, order.order_id, details)
        return Outcome.CONTRADICTION
    folded, advanced = domain.decide(order, incoming.fact, decisions.now, decisions.policies)
    decisions.take(order.order_id, advanced, caused_by=incoming.event_id, fact_at=incoming.fact.occurred_at)
    return Outcome(folded.outcome.value)


def _without_order(decisions: Decisions, incoming: IncomingFact) -> Outcome:
    """A tentative hold may end before its order begins (S-1); anything else about an unknown order is an incident."""
    if isinstance(incoming.fact, facts.StockReleased) and not incoming.fact.request_id:
        return Outcome.IGNORED
    details = {"event": type(incoming.fact).__name__, "event_id": incoming.event_id}
    decisions.open_incident("order_not_found", incoming.order_id, incoming.order_id, details)
    return Outcome.CONTRADICTION


def _objects(incoming: Sequence[IncomingFact], locked: Mapping[str, roots.Root]) -> dict[str, str]:
    """Objects at the provider and the first order that each was told of; only of orders that exist."""
    objects: dict[str, str] = {}
    for each in incoming:
        if each.object_id and each.order_id in locked:
            objects.setdefault(each.object_id, each.order_id)
    return objects


def _locations(incoming: Sequence[IncomingFact], outcomes: Mapping[str, Outcome]) -> dict[tuple[str, int], str]:
    return {
        (each.order_id, line): location
        for each in incoming
        if outcomes[each.event_id] is Outcome.APPLIED
        for line, location in each.locations.items()
    }
