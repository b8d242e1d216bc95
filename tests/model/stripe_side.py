"""The payment provider in the model: intents, refunds and disputes with the rules of F-7 to F-9, and its webhooks.

A call is two steps that anything can come between: the provider carries it out, and we hear the answer. So a time-out,
a crash after sending and a look-up later are the same thing here: an answer that comes late, from the time of the act.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.payments.domain import (
    AttemptSeen,
    AttemptState,
    DisputeSeen,
    DisputeState,
    End,
    Fact,
    Kind,
    Money,
    OperationPlan,
    RefundSeen,
    RefundState,
)
from tests.model.orders_machine import START

PAYABLE = frozenset({AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION})
ENDABLE = PAYABLE | {AttemptState.AUTHORIZED}


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent."""

    intent_id: str
    attempt_id: str
    due: int
    state: AttemptState = AttemptState.PAYABLE
    authorized: int = 0
    captured: int = 0
    currency: str = "GBP"
    failed: bool = False
    end: End = End.NONE


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    """A refund at the provider; `ours` is the id in its metadata, empty for one made at the dashboard."""

    refund_id: str
    intent_id: str
    ours: str
    amount: Money
    state: RefundState


@dataclass(frozen=True, slots=True)
class ProviderDispute:
    """A dispute of a whole capture."""

    dispute_id: str
    intent_id: str
    amount: Money
    state: DisputeState


@dataclass(frozen=True, slots=True)
class Stripe:
    """All that the provider knows of the order, and webhooks that did not arrive yet, in no order."""

    manual: bool = False
    intents: tuple[Intent, ...] = ()
    refunds: tuple[ProviderRefund, ...] = ()
    disputes: tuple[ProviderDispute, ...] = ()
    webhooks: tuple[Fact, ...] = ()
    seconds: int = 0

    def put(self, intent: Intent, *, tell: bool = True) -> Stripe:
        """The provider with the intent as it is now, and a webhook about it."""
        others = tuple(old for old in self.intents if old.intent_id != intent.intent_id)
        after = replace(self, intents=(*others, intent), seconds=self.seconds + 1)
        return replace(after, webhooks=(*after.webhooks, seen(after, intent))) if tell else after

    def put_refund(self, refund: ProviderRefund) -> Stripe:
        """The provider with the refund as it is now, and a webhook about it."""
        others = tuple(old for old in self.refunds if old.refund_id != refund.refund_id)
        after = replace(self, refunds=(*others, refund), seconds=self.seconds + 1)
        return replace(after, webhooks=(*after.webhooks, refund_seen(after, refund)))

    def put_dispute(self, dispute: ProviderDispute) -> Stripe:
        """The provider with the dispute as it is now, and a webhook about it."""
        others = tuple(old for old in self.disputes if old.dispute_id != dispute.dispute_id)
        after = replace(self, disputes=(*others, dispute), seconds=self.seconds + 1)
        told = DisputeSeen(after.at, dispute.dispute_id, dispute.intent_id, dispute.amount, dispute.state)
        return replace(after, webhooks=(*after.webhooks, told))

    @property
    def at(self) -> datetime:
        """The provider's time: later with everything that it does."""
        return START + timedelta(seconds=self.seconds)

    def intent(self, intent_id: str) -> Intent:
        """One intent."""
        return next(intent for intent in self.intents if intent.intent_id == intent_id)

    def kept(self) -> int:
        """Captured, not given back, not with a bank."""
        captured = sum(intent.captured for intent in self.intents)
        back = sum(r.amount.amount_minor for r in self.refunds if r.state is RefundState.SUCCEEDED)
        held = (DisputeState.OPEN, DisputeState.LOST)
        return captured - back - sum(d.amount.amount_minor for d in self.disputes if d.state in held)


def seen(stripe: Stripe, intent: Intent, *, asked: bool = False) -> AttemptSeen:
    """The intent as the provider shows it now."""
    return AttemptSeen(
        occurred_at=stripe.at,
        state=intent.state,
        payment_id=intent.intent_id,
        attempt_id=intent.attempt_id,
        new_id=f"new-{intent.intent_id}",
        currency=intent.currency,
        authorized_minor=intent.authorized,
        captured_minor=intent.captured,
        charge_id=f"ch-{intent.intent_id}" if intent.captured or intent.authorized else "",
        end=intent.end,
        failed=intent.failed and not asked,
        failure_code="declined" if intent.failed else "",
        asked=asked,
    )


def refund_seen(stripe: Stripe, refund: ProviderRefund) -> RefundSeen:
    """The refund as the provider shows it now."""
    return RefundSeen(stripe.at, refund.refund_id, refund.intent_id, refund.amount, refund.state, refund.ours)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider answered to an operation."""

    succeeded: bool
    seen: AttemptSeen | RefundSeen | None = None
    code: str = ""


def carry_out(stripe: Stripe, plan: OperationPlan, *, pending_refunds: bool) -> tuple[Stripe, Answer]:
    """The provider does what the operation asks, once: a second time under the same key changes nothing (F-9)."""
    match plan.kind:
        case Kind.CREATE:
            assert plan.money is not None
            intent = Intent(f"pi-{len(stripe.intents) + 1}", plan.target_id, plan.money.amount_minor)
            stripe = stripe.put(intent, tell=False)
            return stripe, Answer(True, seen(stripe, intent))
        case Kind.CANCEL:
            intent = stripe.intent(plan.object_id)
            if intent.state not in ENDABLE:
                return stripe, Answer(False, seen(stripe, intent, asked=True), "unexpected_state")
            stripe = stripe.put(replace(intent, state=AttemptState.CANCELED, end=End.CANCELED, failed=False))
            return stripe, Answer(True, seen(stripe, stripe.intent(plan.object_id)))
        case Kind.CAPTURE:
            intent = stripe.intent(plan.object_id)
            if intent.state is not AttemptState.AUTHORIZED or plan.money is None:
                return stripe, Answer(False, seen(stripe, intent, asked=True), "unexpected_state")
            stripe = stripe.put(replace(intent, state=AttemptState.SUCCEEDED, captured=plan.money.amount_minor))
            return stripe, Answer(True, seen(stripe, stripe.intent(plan.object_id)))
        case Kind.REFUND:
            assert plan.money is not None
            state = RefundState.PENDING if pending_refunds else RefundState.SUCCEEDED
            refund = ProviderRefund(f"re-{len(stripe.refunds) + 1}", plan.object_id, plan.target_id, plan.money, state)
            intent = stripe.intent(plan.object_id)
            back = sum(
                r.amount.amount_minor
                for r in stripe.refunds
                if r.intent_id == plan.object_id and r.state is not RefundState.FAILED
            )
            disputed = any(dispute.state is not DisputeState.WON for dispute in stripe.disputes)
            if disputed or back + plan.money.amount_minor > intent.captured:
                return stripe, Answer(False, None, "charge_disputed" if disputed else "charge_already_refunded")
            stripe = stripe.put_refund(refund)
            return stripe, Answer(True, refund_seen(stripe, refund))
    raise AssertionError(plan)
