"""What captured money means: success once, a mismatch, or an excess.

Why: it is decided over the whole payable, not per attempt, because two attempts can bring money for one order.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import events as said
from .draft import Draft
from .payable import Attempt, Money, Payable
from .states import Entry, Verdict
from .sums import verdict


def money_arrived(draft: Draft, attempt: Attempt, object_id: str, money: Money) -> None:
    """A capture was booked: tell it, and what it changes."""
    draft.say(said.PaymentCaptured(attempt.id, attempt.object_id, object_id, money))
    if verdict(draft.payable) is not Verdict.PAID:
        due = draft.payable.due
        draft.say(said.PaymentMismatched(attempt.id, attempt.object_id, money))
        draft.raise_incident(
            "payment_mismatched",
            object_id,
            due=f"{due.amount_minor} {due.currency}" if due else "unknown",
            captured=f"{money.amount_minor} {money.currency}",
        )
    elif draft.payable.succeeded:
        _say_excess(draft, object_id)
    else:
        succeed(draft)


def succeed(draft: Draft) -> None:
    """Say that all that is due has come, once per payable (S-17), and what came beyond it."""
    payable = draft.payable
    due = payable.due
    if payable.succeeded or due is None or verdict(payable) is not Verdict.PAID:
        return
    draft.change(succeeded=True)
    last = [f for f in payable.facts(Entry.CAPTURED) if f.money.currency == due.currency][-1]
    attempt = next(a for a in payable.attempts if a.names(last.object_id))
    draft.say(said.PaymentSucceeded(attempt.id, attempt.object_id))
    _say_excess(draft)


def excesses(payable: Payable) -> Iterator[tuple[str, Money]]:
    """What of each capture is beyond what is due: captures count in the order in which they were booked."""
    due = payable.due
    came = 0
    for fact in payable.facts(Entry.CAPTURED):
        if due is None or fact.money.currency != due.currency:
            yield fact.object_id, fact.money
            continue
        came += fact.money.amount_minor
        over = min(fact.money.amount_minor, came - due.amount_minor)
        if over > 0:
            yield fact.object_id, Money(over, due.currency)


def _say_excess(draft: Draft, object_id: str | None = None) -> None:
    """Orders asks for its refund by the object (S-14)."""
    for source, money in excesses(draft.payable):
        if object_id in (None, source):
            draft.say(said.PaymentExcessReceived(source, money))
            draft.raise_incident("payment_excess", source, amount=f"{money.amount_minor} {money.currency}")
