"""Payments in the model: the real `decide`, its calls to the provider, and a customer who pays as badly as one can.

Facts have the same version but for those about refunds, which are told apart by it (which failed before which was
made at the provider): on a topic in order, with the last fact repeated at most, a true version would only tell states
apart that behave alike. That orders copies the highest version is proved by its own tests (R-1.14).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from services.orders.domain import CancellationOutcome, DisputeState, Money, PaymentVerdict, events, facts
from services.payments import domain
from services.payments.domain import AttemptState, End, Payable, RefundState
from services.payments.domain.events import PaymentCancellationSettled, RefundFailed, RefundPending, RefundSucceeded
from tests.model.explorer import Sent, Step
from tests.model.orders_machine import START
from tests.model.stripe_side import (
    PAYABLE,
    Answer,
    Intent,
    ProviderDispute,
    ProviderRefund,
    Stripe,
    carry_out,
    refund_seen,
    seen,
)

VERSION = 1
_NOTHING: Sent = ()
ENDED = (AttemptState.SUCCEEDED, AttemptState.CANCELED)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the provider: planned, then carried out with an answer that we did not hear yet."""

    plan: domain.OperationPlan
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class PaymentsValue:
    """The payable, the provider, calls under way, and what the customer and others may still do."""

    payable: Payable
    stripe: Stripe
    calls: tuple[Call, ...] = ()
    may: tuple[str, ...] = ()
    creates: int = 1
    incidents: frozenset[str] = frozenset()
    version: int = VERSION
    unit: int = 1


@cache
def _rules(unit: int) -> domain.Rules:
    return domain.Rules(unit_of=lambda currency: unit)


class PaymentsMachine:
    """Payments."""

    name = "payments"

    def receive(self, value: PaymentsValue, message: events.OrderEvent) -> Step:
        """Turn a request of orders into a command."""
        return self._decide(f"payments <- {type(message).__name__}", value, _command(message))

    def own_steps(self, value: PaymentsValue) -> Iterator[Step]:
        """CreatePayment, calls, webhooks, questions to the provider, and what people do there."""
        if value.creates:
            left = replace(value, creates=value.creates - 1)
            attempt = f"attempt-{len(value.payable.attempts) + 1}"
            create = domain.CreatePayment(
                attempt, attempt, domain.Money(200, "GBP"), domain.Flow.INTENT, value.stripe.manual
            )
            yield self._decide("CreatePayment", left, create)
        yield from self._calls(value)
        for webhook in dict.fromkeys(value.stripe.webhooks):
            rest = list(value.stripe.webhooks)
            rest.remove(webhook)
            left = replace(value, stripe=replace(value.stripe, webhooks=tuple(rest)))
            yield self._decide(f"webhook {_name(webhook)}", left, webhook)
        if value.payable.look_at is not None:
            yield from self._ask(value)
        yield from self._provider(value)
        for wish in dict.fromkeys(value.may):
            may = list(value.may)
            may.remove(wish)
            for stripe in _wish(wish, value.stripe):
                yield Step(wish, replace(value, stripe=stripe, may=tuple(may)), must=False)

    def _calls(self, value: PaymentsValue) -> Iterator[Step]:
        for number, call in enumerate(value.calls):
            others = value.calls[:number] + value.calls[number + 1 :]
            if call.answer is None:
                stripe, answer = carry_out(value.stripe, call.plan, pending_refunds="refund fails" in value.may)
                done = replace(call, answer=answer)
                calls = (*value.calls[:number], done, *value.calls[number + 1 :])
                yield Step(f"provider: {call.plan.kind}", replace(value, stripe=stripe, calls=calls))
                if f"{call.plan.kind} refused" in value.may:
                    may = tuple(wish for wish in value.may if wish != f"{call.plan.kind} refused")
                    refused = replace(call, answer=Answer(False, None, "refused"))
                    calls = (*value.calls[:number], refused, *value.calls[number + 1 :])
                    after = replace(value, calls=calls, may=may)
                    yield Step(f"provider refuses: {call.plan.kind}", after, must=False)
                continue
            ended = domain.OperationEnded(
                call.plan.id,
                call.plan.kind,
                call.plan.target_id,
                call.answer.succeeded,
                call.answer.seen,
                call.answer.code,
            )
            yield self._decide(f"answer to {call.plan.kind}", replace(value, calls=others), ended)

    def _ask(self, value: PaymentsValue) -> Iterator[Step]:
        """A job asks the provider about everything; several answers are one step, which hides no order of events.

        A question that teaches nothing is no step: it would only raise the version, for ever.
        """
        label, stripe = "payments asks the provider", value.stripe
        after, sent = replace(value, payable=domain.asked(value.payable, value.payable.look_at)), _NOTHING
        shown = (
            *(seen(stripe, intent, asked=True) for intent in stripe.intents),
            *(refund_seen(stripe, refund) for refund in stripe.refunds),
        )
        for fact in shown:
            step = self._decide(label, after, fact)
            assert isinstance(step.machine, PaymentsValue)
            after, sent = step.machine, sent + step.sent
        if sent or replace(after, payable=replace(after.payable, look_at=None)) != replace(
            value, payable=replace(value.payable, look_at=None)
        ):
            yield Step(label, after, sent)

    def _provider(self, value: PaymentsValue) -> Iterator[Step]:
        """What the provider ends by itself: a payment in processing, a pending refund, a dispute."""
        stripe = value.stripe
        for intent in stripe.intents:
            if intent.state is AttemptState.PROCESSING:
                paid = replace(intent, state=AttemptState.SUCCEEDED, captured=intent.due)
                failed = replace(intent, state=AttemptState.PAYABLE, failed=True)
                yield Step("provider: processing ends well", replace(value, stripe=stripe.put(paid)))
                yield Step("provider: processing ends badly", replace(value, stripe=stripe.put(failed)))
        for refund in stripe.refunds:
            if refund.state is RefundState.PENDING:
                for state in (RefundState.SUCCEEDED, RefundState.FAILED):
                    after = stripe.put_refund(replace(refund, state=state))
                    yield Step(f"provider: refund {state}", replace(value, stripe=after))
        for dispute in stripe.disputes:
            if dispute.state is domain.DisputeState.OPEN:
                for outcome in (domain.DisputeState.WON, domain.DisputeState.LOST):
                    after = stripe.put_dispute(replace(dispute, state=outcome))
                    yield Step(f"bank: dispute {outcome}", replace(value, stripe=after))

    def _decide(self, label: str, value: PaymentsValue, cause: Any) -> Step:
        decision = domain.decide(value.payable, cause, START, _rules(value.unit))
        breach = ""
        if any(plan.money and plan.money.amount_minor % value.unit for plan in decision.operations):
            breach = f"payments: {label} plans an amount that the provider has no unit for"
        if decision.outcome is domain.Outcome.CONTRADICTION:
            breach = f"payments: {label} is a contradiction"
        settled = any(isinstance(event, PaymentCancellationSettled) for event in decision.events)
        if settled and _can_still_take_money(value):
            breach = "payments: a cancellation is settled while money can still be taken"
        said = facts.Snapshot(
            verdict=PaymentVerdict(decision.snapshot.verdict),
            authorized_minor=decision.snapshot.authorized_minor,
            captured_minor=decision.snapshot.captured_minor,
            refunded_minor=decision.snapshot.refunded_minor,
            due_minor=decision.snapshot.due_minor,
            currency=decision.snapshot.currency,
            currency_differs=decision.snapshot.currency_differs,
            dispute=DisputeState(decision.snapshot.dispute),
            refund_pending_minor=decision.snapshot.refund_pending_minor,
        )
        version, sent = value.version, _NOTHING
        for event in decision.events:
            version += isinstance(event, RefundPending | RefundSucceeded | RefundFailed)
            sent = (*sent, ("orders", _fact(event, said, version)))
        after = replace(
            value,
            version=version,
            payable=replace(decision.payable, version=0),
            calls=(*value.calls, *(Call(plan) for plan in decision.operations)),
            incidents=value.incidents | {incident.kind for incident in decision.incidents},
        )
        return Step(label, after, sent, breach)


def _can_still_take_money(value: PaymentsValue) -> bool:
    """S-9: a call is under way, or an attempt has not ended at the provider."""
    calls = any(call.plan.kind is not domain.Kind.REFUND for call in value.calls)
    return calls or any(intent.state not in ENDED for intent in value.stripe.intents)


def _command(message: events.OrderEvent) -> Any:
    match message:
        case events.OrderCreated():
            return domain.OrderPlaced(_money(message.total))
        case events.PaymentCancellationRequested():
            return domain.CancelPayment(message.cancellation_id)
        case events.PaymentCaptureRequested():
            return domain.CapturePayment(message.request_id, _money(message.amount))
        case events.RefundRequested():
            return domain.RequestRefund(message.refund_id, _money(message.amount), message.object_id)
    raise AssertionError(message)


def _fact(event: Any, snapshot: facts.Snapshot, version: int) -> facts.Fact:
    """The orders' fact of the same name, with the fields that it has."""
    wanted = getattr(facts, type(event).__name__)
    given: dict[str, Any] = {"version": version, "occurred_at": START, "snapshot": snapshot}
    for name in wanted.__dataclass_fields__:
        if name in given or not hasattr(event, name):
            continue
        value = getattr(event, name)
        if isinstance(value, domain.Money):
            value = Money(value.amount_minor, value.currency)
        elif wanted is facts.DisputeClosed and name == "outcome":
            value = DisputeState(value)
        elif name == "outcome":
            value = CancellationOutcome(value)
        given[name] = value
    fact: facts.Fact = wanted(**given)
    return fact


def _wish(wish: str, stripe: Stripe) -> Iterator[Stripe]:
    """What a wish makes of the provider; nothing where it is not possible."""
    for intent in stripe.intents:
        match wish:
            case "customer pays" if intent.state in PAYABLE:
                if stripe.manual:
                    yield stripe.put(
                        replace(intent, state=AttemptState.AUTHORIZED, authorized=intent.due, failed=False)
                    )
                else:
                    yield stripe.put(_paid(intent, intent.due))
            case "customer pays too little" if intent.state in PAYABLE:
                yield stripe.put(_paid(intent, intent.due - 50))
            case "customer pays too much" if intent.state in PAYABLE:
                yield stripe.put(_paid(intent, intent.due + 50))
            case "customer pays in another currency" if intent.state in PAYABLE:
                yield stripe.put(replace(_paid(intent, intent.due), currency="EUR"))
            case "customer fails" if intent.state in PAYABLE:
                yield stripe.put(replace(intent, state=AttemptState.PAYABLE, failed=True))
            case "customer must act" if intent.state is AttemptState.PAYABLE:
                yield stripe.put(replace(intent, state=AttemptState.REQUIRES_ACTION, failed=False))
            case "customer pays slowly" if intent.state in PAYABLE:
                yield stripe.put(replace(intent, state=AttemptState.PROCESSING, failed=False))
            case "authorisation lapses" if intent.state is AttemptState.AUTHORIZED:
                yield stripe.put(replace(intent, state=AttemptState.CANCELED, end=End.LAPSED))
            case "money comes after all" if intent.state is AttemptState.CANCELED and not intent.captured:
                yield stripe.put(replace(_paid(intent, intent.due), end=End.NONE))
            case "refund at the dashboard" if intent.captured:
                left = intent.captured - sum(
                    r.amount.amount_minor
                    for r in stripe.refunds
                    if r.intent_id == intent.intent_id and r.state is not RefundState.FAILED
                )
                if left > 0:
                    refund = ProviderRefund(
                        f"re-{len(stripe.refunds) + 1}",
                        intent.intent_id,
                        "",
                        domain.Money(left, intent.currency),
                        RefundState.SUCCEEDED,
                    )
                    yield stripe.put_refund(refund)
            case "customer disputes" if intent.captured and not stripe.disputes and not stripe.refunds:
                dispute = ProviderDispute(
                    "dp-1", intent.intent_id, domain.Money(intent.captured, intent.currency), domain.DisputeState.OPEN
                )
                yield stripe.put_dispute(dispute)


def _paid(intent: Intent, amount: int) -> Intent:
    return replace(intent, state=AttemptState.SUCCEEDED, captured=amount, authorized=0, failed=False)


def _money(amount: Money) -> domain.Money:
    return domain.Money(amount.amount_minor, amount.currency)


def _name(webhook: Any) -> str:
    return f"{type(webhook).__name__} {webhook.state}" if hasattr(webhook, "state") else type(webhook).__name__
