"""Payments of a split payable in the model: two members who each pay half (S-14, S-17).

Written for the model alone, as the rules say it, because the service splits no payable yet: what orders makes of
shares is proved now, and `decide` takes this machine's place once it knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.orders.domain import CancellationOutcome, Money, PaymentVerdict, events, facts
from services.payments import domain
from services.payments.domain import AttemptState, End, RefundState
from tests.model.explorer import Sent, Step
from tests.model.orders_machine import START
from tests.model.payments_machine import VERSION
from tests.model.stripe_side import Intent, ProviderRefund, Stripe

HALF, WHOLE = 100, 200


def two_shares() -> Stripe:
    """Both members can pay."""
    return Stripe(intents=(Intent("pi-1", "share-1", HALF), Intent("pi-2", "share-2", HALF)))


@dataclass(frozen=True, slots=True)
class SharesValue:
    """The shares, which are known as the provider knows them, and cancellations without an answer."""

    stripe: Stripe = field(default_factory=two_shares)
    waiting: tuple[str, ...] = ()
    closed: bool = False
    late: int = 0  # shares that may be paid although they have ended
    incidents: frozenset[str] = frozenset()


class SharesMachine:
    """Payments, for a split payable."""

    name = "payments"

    def receive(self, value: SharesValue, message: events.OrderEvent) -> Step:
        """Close, or give back; the facts that follow are told at once."""
        label = f"payments <- {type(message).__name__}"
        match message:
            case events.PaymentCancellationRequested():
                asked = replace(value, closed=True, waiting=(*value.waiting, message.cancellation_id))
                return self._settled(label, asked, ())
            case events.RefundRequested():
                return self._refund(label, value, message)
        return Step(label, value)

    def own_steps(self, value: SharesValue) -> Iterator[Step]:
        """A member pays, as long as the share has not ended; a closed payable ends the others."""
        for intent in value.stripe.intents:
            paid = replace(intent, state=AttemptState.SUCCEEDED, captured=intent.due)
            if intent.state is AttemptState.PAYABLE:
                yield self._paid(f"a member pays {intent.attempt_id}", value, paid)
            if intent.state is AttemptState.CANCELED and value.late:
                yield self._paid(f"late: {intent.attempt_id}", replace(value, late=value.late - 1), paid)
            if intent.state is AttemptState.PAYABLE and value.closed:
                ended = replace(intent, state=AttemptState.CANCELED, end=End.CANCELED)
                after = replace(value, stripe=value.stripe.put(ended, tell=False))
                yield self._settled(f"provider ends {intent.attempt_id}", after, ())

    def _paid(self, label: str, value: SharesValue, paid: Intent) -> Step:
        after = replace(value, stripe=value.stripe.put(paid, tell=False))
        shown = _snapshot(after.stripe)
        told: list[facts.Fact] = [facts.PaymentShareSucceeded(version=VERSION, occurred_at=START, snapshot=shown)]
        if shown.verdict is PaymentVerdict.PAID:
            told.append(facts.PaymentSucceeded(version=VERSION, occurred_at=START, snapshot=shown))
        return replace(self._settled(label, after, tuple(told)), must=False)

    def _settled(self, label: str, value: SharesValue, told: tuple[facts.Fact, ...]) -> Step:
        """Each cancellation is answered once, when every share has ended (S-9); its answer follows the facts."""
        if not any(intent.state is AttemptState.PAYABLE for intent in value.stripe.intents):
            shown = _snapshot(value.stripe)
            taken = CancellationOutcome.MONEY_TAKEN if shown.captured_minor else CancellationOutcome.NOTHING_TAKEN
            told += tuple(
                facts.PaymentCancellationSettled(
                    version=VERSION, occurred_at=START, snapshot=shown, cancellation_id=cancellation, outcome=taken
                )
                for cancellation in value.waiting
            )
            value = replace(value, waiting=())
        sent: Sent = tuple(("orders", fact) for fact in told)
        return Step(label, value, sent)

    def _refund(self, label: str, value: SharesValue, asked: events.RefundRequested) -> Step:
        """From one share, or from both where one does not suffice; never more than is there (S-18)."""
        left, stripe = min(asked.amount.amount_minor, value.stripe.kept()), value.stripe
        whole = left
        for intent in stripe.intents:
            back = sum(each.amount.amount_minor for each in stripe.refunds if each.intent_id == intent.intent_id)
            part = min(left, intent.captured - back)
            if part > 0:
                name = f"re-{len(stripe.refunds) + 1}"
                money = domain.Money(part, "GBP")
                refund = ProviderRefund(name, intent.intent_id, asked.refund_id, money, RefundState.SUCCEEDED)
                stripe = replace(stripe, refunds=(*stripe.refunds, refund))
                left -= part
        kind = facts.RefundSucceeded if whole else facts.RefundFailed
        fact = kind(
            version=VERSION,
            occurred_at=START,
            snapshot=_snapshot(stripe),
            refund_id=asked.refund_id,
            amount=Money(whole or asked.amount.amount_minor, "GBP"),
        )
        return Step(label, replace(value, stripe=stripe), (("orders", fact),))


def _snapshot(stripe: Stripe) -> facts.Snapshot:
    captured = sum(intent.captured for intent in stripe.intents)
    return facts.Snapshot(
        verdict=PaymentVerdict.PAID if captured >= WHOLE else PaymentVerdict.UNPAID,
        authorized_minor=0,
        captured_minor=captured,
        refunded_minor=captured - stripe.kept(),
        due_minor=WHOLE,
        currency="GBP",
    )
