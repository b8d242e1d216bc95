"""Fulfillment in the model: the real `decide`, its calls to the provider, and an operator who tries again.

A call has four stages: planned, sent, carried out, answered. Only a planned one can be taken back (S-10), and between
the others anything can come. Returns have no decision of their own yet: their answers are given here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from services.fulfillment import domain
from services.fulfillment.domain import Fulfillment, FulfillmentState, Kind, ProviderState
from services.orders.domain import LineQuantity, Units, events, facts
from tests.model.explorer import Sent, Step
from tests.model.orders_machine import START
from tests.model.printful_side import Answer, Printful, carry_out, sight

LATER = START + timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the provider."""

    plan: domain.OperationPlan
    sent: bool = False
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class FulfillmentValue:
    """The fulfilment, the provider, calls under way, and what may still happen."""

    root: Fulfillment = field(default_factory=lambda: Fulfillment("order"))
    printful: Printful = field(default_factory=Printful)
    calls: tuple[Call, ...] = ()
    may: tuple[str, ...] = ()
    lost: tuple[domain.OperationPlan, ...] = ()
    returns: tuple[tuple[str, Units], ...] = ()
    incidents: frozenset[str] = frozenset()

    def left(self) -> int:
        """Units that left the house, less those that came back by a return."""
        return self.printful.left


class FulfillmentMachine:
    """Fulfillment."""

    name = "fulfillment"

    def receive(self, value: FulfillmentValue, message: events.OrderEvent) -> Step:
        """Turn a request of orders into a command."""
        label = f"fulfillment <- {type(message).__name__}"
        if isinstance(message, events.ReturnRequested):
            after = replace(value, returns=(*value.returns, (message.return_id, message.lines)))
            accepted = facts.ReturnAccepted(version=0, occurred_at=START, return_id=message.return_id)
            return Step(label, after, (("orders", accepted),))
        return self._decide(label, value, _command(message))

    def own_steps(self, value: FulfillmentValue) -> Iterator[Step]:
        """Jobs, calls, fetches, the provider's own life, and what may happen to it."""
        root = value.root
        if root.state is FulfillmentState.QUEUED and root.round and not root.operations:
            yield self._decide("fulfillment prepares", value, domain.Prepared())
            if "address is missing" in value.may:
                left = replace(value, may=_without(value.may, "address is missing"))
                yield self._decide("address is missing", left, domain.NotPrepared("no address", True), must=False)
        if root.next_try_at is not None and root.next_try_at > START and root.state is not FulfillmentState.QUEUED:
            yield self._decide("time for the next try", value, domain.TimePassed(), now=LATER)
        if "operator retries" in value.may and root.state in (FulfillmentState.HELD, FulfillmentState.FAILED):
            left = replace(value, may=_without(value.may, "operator retries"))
            yield self._decide("operator retries", left, domain.RetryFulfillment(), must=False)
        yield from self._calls(value)
        yield from self._provider(value)

    def _calls(self, value: FulfillmentValue) -> Iterator[Step]:
        for number, call in enumerate(value.calls):
            others = value.calls[:number] + value.calls[number + 1 :]
            before, behind = value.calls[:number], value.calls[number + 1 :]
            kind = call.plan.kind
            if call.answer is not None:
                answer = call.answer
                ended = domain.OperationEnded(
                    kind,
                    call.plan.number,
                    answer.succeeded,
                    answer.seen,
                    code=answer.code,
                    reason=answer.code,
                    absent=answer.absent,
                    reference=call.plan.reference,
                    gone=answer.gone,
                )
                yield self._decide(f"answer to {kind}: {answer.code or 'done'}", replace(value, calls=others), ended)
            elif not call.sent:
                yield Step(f"{kind} is sent", replace(value, calls=(*before, replace(call, sent=True), *behind)))
            else:
                printful, answer = carry_out(value.printful, call.plan)
                calls = (*before, replace(call, answer=answer), *behind)
                yield Step(f"provider: {kind}", replace(value, printful=printful, calls=calls))
                yield from self._lost(value, call, before, behind)

    def _lost(
        self, value: FulfillmentValue, call: Call, before: tuple[Call, ...], behind: tuple[Call, ...]
    ) -> Iterator[Step]:
        """The provider refuses, or agrees and does nothing; or look-ups prove absence, which is true unless it
        `appears` all the same.
        """
        kind = call.plan.kind
        idle = tuple(
            (f"{kind} changes nothing", Answer(True, sight(value.printful, item)))
            for item in value.printful.objects
            if item.number == call.plan.reference
        )
        for wish, answer in (
            *idle,
            (f"{kind} is refused", Answer(False, code="refused")),
            (f"{kind} is lost", Answer(False, code="absent", absent=True)),
            (f"{kind} appears late", Answer(False, code="absent", absent=True)),
        ):
            if wish in value.may:
                lost = (*value.lost, call.plan) if wish.endswith("late") else value.lost
                calls = (*before, replace(call, answer=answer), *behind)
                yield Step(wish, replace(value, calls=calls, may=_without(value.may, wish), lost=lost), must=False)

    def _provider(self, value: FulfillmentValue) -> Iterator[Step]:
        printful = value.printful
        for item in printful.objects:
            known = item.number != value.root.number or item.state is value.root.provider_state
            if value.root.round and not (item.seen and known):  # a webhook came, or a look-up now and then
                fetched = replace(value, printful=printful.put(replace(item, seen=True)))
                yield self._decide("fetch", fetched, sight(printful, item, value.root.sights))
        for label, after in printful.steps():
            yield Step(label, replace(value, printful=after))
        for plan in value.lost:
            late = tuple(other for other in value.lost if other != plan)
            yield Step(
                f"{plan.kind} appears late",
                replace(value, printful=carry_out(printful, plan)[0], lost=late),
                must=False,
            )
        for wish in dict.fromkeys(value.may):
            for after in printful.wish(wish):
                yield Step(wish, replace(value, printful=after, may=_without(value.may, wish)), must=False)
        for return_id, lines in value.returns:
            back = facts.ReturnReceived(version=0, occurred_at=START, return_id=return_id, lines=lines)
            rest = tuple(item for item in value.returns if item[0] != return_id)
            yield Step("goods come back", replace(value, returns=rest), (("orders", back),))

    def _decide(self, label: str, value: FulfillmentValue, cause: Any, *, must: bool = True, now: Any = START) -> Step:
        decision = domain.decide(value.root, cause, now)
        breach = ""
        if decision.outcome is domain.Outcome.CONTRADICTION:
            breach = f"fulfillment: {label}: {decision.note}"
        ended = cause if isinstance(cause, domain.OperationEnded) else None
        if ended and any((plan.kind, plan.reference) == (ended.kind, ended.reference) for plan in decision.operations):
            breach = f"fulfillment: {ended.kind} is asked again at once"
        if any(_gives_up_units(event) for event in decision.events) and _can_still_ship(value):
            breach = "fulfillment: units are cancelled that can still ship"
        calls = (*value.calls, *(Call(plan) for plan in decision.operations))
        after = replace(
            value,
            root=replace(decision.fulfillment, version=0),
            calls=calls,
            incidents=value.incidents | {incident.kind for incident in decision.incidents},
        )
        sent: Sent = tuple(("orders", _fact(event)) for event in decision.events)
        if decision.withdraw:
            unsent = tuple(call for call in calls if not call.sent and call.plan.kind is not Kind.CANCEL)
            after = replace(after, calls=tuple(call for call in calls if call not in unsent))
            if isinstance(cause, domain.HoldFulfillment):
                was_sent = any(call.sent and call.plan.kind is Kind.CONFIRM for call in calls)
                return self._decide(label, after, replace(cause, taken_back=not was_sent), must=must, now=now)
            for call in unsent:
                ended = domain.OperationEnded(call.plan.kind, call.plan.number, False, absent=True)
                taken_back = self._decide(label, after, ended)
                assert isinstance(taken_back.machine, FulfillmentValue)
                after, sent = taken_back.machine, sent + taken_back.sent
                breach = breach or taken_back.breach
        return Step(label, after, sent, breach, must)


def fulfillment(units: int, parcel_units: int, may: tuple[str, ...]) -> FulfillmentValue:
    """Before anything was asked for."""
    return FulfillmentValue(printful=Printful(units, parcel_units), may=may)


def _gives_up_units(event: Any) -> bool:
    return isinstance(event, domain.FulfillmentCancelled) and bool(event.cancellation_id and event.cancelled)


def _can_still_ship(value: FulfillmentValue) -> bool:
    """S-10: a call that makes goods ship is under way, or the provider works on them."""
    calls = any(call.sent and call.answer is None and call.plan.kind is not Kind.CANCEL for call in value.calls)
    at_work = (ProviderState.PENDING, ProviderState.IN_PROCESS, ProviderState.ON_HOLD)
    return calls or any(item.state in at_work for item in value.printful.objects)


def _without(may: tuple[str, ...], wish: str) -> tuple[str, ...]:
    left = list(may)
    left.remove(wish)
    return tuple(left)


def _command(message: events.OrderEvent) -> Any:
    match message:
        case events.FulfillmentRequested():
            lines = tuple(domain.LineQuantity(unit.line, unit.sku, unit.quantity) for unit in message.lines)
            return domain.RequestFulfillment(message.request_id, message.round, lines)
        case events.FulfillmentCancellationRequested():
            return domain.CancelFulfillment(message.cancellation_id, message.request_id)
        case events.FulfillmentHoldRequested():
            return domain.HoldFulfillment(message.request_id, message.reason)
        case events.FulfillmentResumeRequested():
            return domain.ResumeFulfillment(message.request_id)
    raise AssertionError(message)


def _fact(event: Any) -> facts.Fact:
    """The orders' fact of the same name, with the fields that it has."""
    wanted = getattr(facts, type(event).__name__)
    given: dict[str, Any] = {"version": 0, "occurred_at": START}
    for name in wanted.__dataclass_fields__:
        if name not in given and hasattr(event, name):
            value = getattr(event, name)
            if isinstance(value, tuple):
                value = tuple(LineQuantity(unit.line, unit.sku, unit.quantity) for unit in value)
            given[name] = value
    fact: facts.Fact = wanted(**given)
    return fact
