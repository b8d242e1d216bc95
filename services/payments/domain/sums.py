"""What follows from a payable by arithmetic: verdict, amounts, and what may still go back.

Why: verdict and amounts that others copy are computed in one place, from the ledger first.
"""

from __future__ import annotations

from dataclasses import dataclass

from .payable import LedgerFact, Payable
from .states import AttemptState, DisputeState, End, Entry, RefundState, Verdict

# Of several disputes the gravest shows.
_GRAVITY = (DisputeState.NONE, DisputeState.WON, DisputeState.LOST, DisputeState.OPEN)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Verdict and amounts that every payment fact carries, in minor units of `currency`."""

    verdict: Verdict
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    due_minor: int
    currency: str
    currency_differs: bool
    dispute: DisputeState
    refund_pending_minor: int


def snapshot(payable: Payable) -> Snapshot:
    """Verdict and amounts now. The amounts are those of `counted_currency`, the due is what it is."""
    currency = counted_currency(payable)
    sums = dict.fromkeys(Entry, 0)
    for fact in payable.ledger:
        if fact.money.currency == currency:
            sums[fact.entry] += fact.money.amount_minor
    return Snapshot(
        verdict=verdict(payable),
        authorized_minor=authorized(payable, currency),
        captured_minor=sums[Entry.CAPTURED],
        refunded_minor=sums[Entry.REFUNDED] - sums[Entry.REFUND_REVERSED],
        due_minor=payable.due.amount_minor if payable.due else 0,
        currency=payable.due.currency if payable.due else currency,
        currency_differs=_currency_differs(payable),
        dispute=max((d.state for d in payable.disputes), key=_GRAVITY.index, default=DisputeState.NONE),
        refund_pending_minor=refunds_pending(payable, currency),
    )


def verdict(payable: Payable) -> Verdict:
    """Ledger first, then the attempt that can still be paid, then how the last one ended."""
    due = payable.due
    if payable.money_came:
        paid = due is not None and payable.sum(Entry.CAPTURED, due.currency) >= due.amount_minor
        return Verdict.PAID if paid else Verdict.MISMATCHED
    if due is not None and 0 < due.amount_minor <= authorized(payable, due.currency):
        return Verdict.AUTHORIZED
    attempt = payable.live_attempt
    if attempt is None:
        ours = [a for a in payable.attempts if not a.orphan]
        if not ours:
            return Verdict.UNPAID
        return Verdict.FAILED if ours[-1].end is End.FAILED else Verdict.CANCELED
    if attempt.state is AttemptState.REQUIRES_ACTION:
        return Verdict.REQUIRES_ACTION
    if attempt.state is AttemptState.PROCESSING:
        return Verdict.PROCESSING
    return Verdict.FAILED if attempt.failure is not None else Verdict.UNPAID


def counted_currency(payable: Payable) -> str:
    """The currency of what is due; where money came only in another one, that one (R-1.15)."""
    currencies = {f.money.currency for f in payable.facts(Entry.CAPTURED)}
    if payable.due and (not currencies or payable.due.currency in currencies):
        return payable.due.currency
    return min(currencies, default="")


def authorized(payable: Payable, currency: str) -> int:
    """Authorized and neither captured nor released; an orphan's is to be released and will never be captured."""
    orphans = [a for a in payable.attempts if a.orphan]
    return sum(
        f.money.amount_minor
        for f in payable.facts(Entry.AUTHORIZED)
        if f.money.currency == currency
        and not any(a.names(f.object_id) for a in orphans)
        and not payable.has(f.object_id, Entry.CAPTURED)
        and not payable.has(f.object_id, Entry.RELEASED)
    )


def refunds_pending(payable: Payable, currency: str, source_id: str | None = None) -> int:
    """Refunds that are planned or under way at the provider."""
    return sum(
        r.money.amount_minor
        for r in payable.refunds
        if r.state is RefundState.PENDING
        and r.money.currency == currency
        and (source_id is None or r.source_id == source_id)
    )


def refundable(payable: Payable, capture: LedgerFact) -> int:
    """What one capture can still give back: captured - refunds (pending, succeeded) - disputed (open, lost) (S-18)."""
    currency, source = capture.money.currency, capture.object_id
    refunded = payable.sum(Entry.REFUNDED, currency, source) - payable.sum(Entry.REFUND_REVERSED, currency, source)
    disputed = sum(
        d.money.amount_minor
        for d in payable.disputes
        if d.source_id == source and d.state in (DisputeState.OPEN, DisputeState.LOST)
    )
    return max(0, capture.money.amount_minor - refunded - refunds_pending(payable, currency, source) - disputed)


def _currency_differs(payable: Payable) -> bool:
    due = payable.due
    return due is not None and any(f.money.currency != due.currency for f in payable.facts(Entry.CAPTURED))
