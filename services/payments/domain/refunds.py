"""Refunds and disputes: money that goes back, under the cap of S-18.

Why: a refund can be ours or made at the provider's dashboard, can still fail after it succeeded (F-8), and never
may more go back than was captured.
"""

from __future__ import annotations

from dataclasses import replace

from . import events as said
from .draft import Draft, OperationPlan, Outcome
from .inputs import ChargeRefunded, DisputeSeen, OperationEnded, RefundSeen, RequestRefund
from .payable import Dispute, LedgerFact, Money, Payable, Refund
from .states import DisputeState, Entry, Flow, Kind, RefundState
from .sums import counted_currency, refundable, refunds_pending

_RANKS = {RefundState.PENDING: 0, RefundState.SUCCEEDED: 1, RefundState.FAILED: 2}


def request(draft: Draft, command: RequestRefund) -> None:
    """Plan the refund, of several captures where one does not suffice (S-18).

    What the provider has no unit for is rounded off the sum of all requests, so that all of them together are short
    by less than one unit. The answer says what really goes back, be it nothing or a little more than was asked for.
    Asked for again, what failed of its last try is tried anew: that much was told, and at most that much is due.
    """
    payable = draft.payable
    parts = [r for r in payable.refunds if r.refund_id == command.refund_id]
    failed = sum(r.money.amount_minor for r in _last_try(parts) if r.state is RefundState.FAILED)
    if any(r.state is RefundState.PENDING for r in parts) or (parts and not failed):
        draft.outcome = Outcome.STALE
        return
    asked = min(command.amount.amount_minor, failed) if parts else command.amount.amount_minor
    captures = _captures(payable, command)
    currency = captures[0].money.currency if captures else command.amount.currency
    wanted, rounded = _movable(draft, Money(asked, currency))
    if not wanted.amount_minor:
        draft.change(rounded_minor=rounded)
        draft.say(said.RefundSucceeded(command.refund_id, "", wanted))
        return
    left = sum(refundable(payable, c) for c in captures)
    amount = _whole(draft, min(wanted.amount_minor, left), currency)
    if amount < wanted.amount_minor:
        draft.raise_incident("refund_over_cap", command.refund_id, asked=str(asked), refundable=str(left))
    if not amount:
        text = "Nothing of this payment can be given back."
        draft.say(said.RefundFailed(command.refund_id, "", wanted, "nothing_refundable", text))
        return
    draft.change(rounded_minor=rounded)  # not where it was refused: asked for again it is the same amount
    number = max((r.number for r in parts), default=0) + 1
    for part, (capture, share) in enumerate(_shares(payable, captures, amount), start=1):
        refund = Refund(
            id=f"{command.refund_id}.{number}.{part}",
            refund_id=command.refund_id,
            source_id=capture.object_id,
            money=Money(share, capture.money.currency),
            state=RefundState.PENDING,
            number=number,
        )
        draft.change(refunds=(*draft.payable.refunds, refund))
        _plan(draft, refund)


def refund_seen(draft: Draft, fact: RefundSeen) -> None:
    """Take in a refund by rank; one that we did not make is adopted."""
    refunds = draft.payable.refunds
    refund = next((r for r in refunds if r.provider_refund_id == fact.provider_refund_id), None)
    refund = refund or next((r for r in refunds if r.id == fact.our_id and not r.provider_refund_id), None)
    fresh = refund is None or not refund.provider_refund_id
    if refund is None:
        refund = Refund(fact.provider_refund_id, "", fact.payment_id, fact.amount, RefundState.PENDING)
        draft.change(refunds=(*refunds, refund))
    moved = fresh or _RANKS[fact.state] > _RANKS[refund.state]
    if moved:
        refund = replace(
            refund,
            provider_refund_id=fact.provider_refund_id,
            money=fact.amount,
            state=fact.state,
            number=_number_of(draft.payable, refund, fact.state),
            code=fact.code,
            reason=fact.reason,
        )
        draft.put_refund(refund)
    at, source = fact.occurred_at, refund.source_id
    if fact.state is RefundState.SUCCEEDED:
        draft.book(refund.provider_refund_id, Entry.REFUNDED, refund.money, at, source)
    if refund.state is RefundState.FAILED and draft.payable.has(refund.provider_refund_id, Entry.REFUNDED):
        draft.book(refund.provider_refund_id, Entry.REFUND_REVERSED, refund.money, at, source)
    if moved:
        _announce(draft, refund)
    else:
        draft.outcome = Outcome.STALE


def refund_ended(draft: Draft, end: OperationEnded) -> None:
    """A refused refund stays due: an incident, and a person tries again under a new operation."""
    refund = next(r for r in draft.payable.refunds if r.id == end.target_id)
    if end.succeeded or refund.provider_refund_id or refund.state is RefundState.FAILED:
        return
    if end.absent:
        return _plan(draft, refund)
    refund = replace(refund, state=RefundState.FAILED, code=end.code, reason=end.reason)
    draft.put_refund(refund)
    draft.look(draft.now)
    _announce(draft, refund)
    return None


def charge_refunded(draft: Draft, fact: ChargeRefunded) -> None:
    """The provider gave back more than we know of: ask which refunds (F-8)."""
    currency, source = fact.total.currency, fact.payment_id
    payable = draft.payable
    known = payable.sum(Entry.REFUNDED, currency, source) - payable.sum(Entry.REFUND_REVERSED, currency, source)
    if known + refunds_pending(payable, currency, source) < fact.total.amount_minor:
        draft.look(draft.now)
    else:
        draft.outcome = Outcome.STALE


def dispute_seen(draft: Draft, fact: DisputeSeen) -> None:
    """Record what the bank took and gave back; a decision is never reopened, and replaced by a newer one (R-1.22)."""
    disputes = draft.payable.disputes
    old = next((d for d in disputes if d.id == fact.dispute_id), None)
    withdrawn = fact.withdrawn or (old is not None and old.withdrawn)
    decided = old is not None and old.state is not DisputeState.OPEN
    newer = old is None or fact.occurred_at > old.occurred_at
    taken = old is None or (fact.state is not DisputeState.OPEN and (newer or not decided))
    state = fact.state if taken or old is None else old.state
    decided_at = fact.occurred_at if taken or old is None else old.occurred_at
    new = Dispute(fact.dispute_id, fact.payment_id, fact.amount, state, decided_at, withdrawn)
    if state is DisputeState.LOST and draft.payable.has(new.id, Entry.DISPUTE_REINSTATED):
        draft.raise_incident("dispute_lost_again", new.id)  # the ledger has no word for it: a person books it
    draft.change(disputes=(*(d for d in disputes if d.id != fact.dispute_id), new))
    if withdrawn:
        draft.book(new.id, Entry.DISPUTE_WITHDRAWN, new.money, fact.occurred_at, new.source_id)
        if state is DisputeState.WON:
            draft.book(new.id, Entry.DISPUTE_REINSTATED, new.money, fact.occurred_at, new.source_id)
    if old is not None and old.state is state:
        draft.outcome = Outcome.STALE
    elif state is DisputeState.OPEN:
        draft.say(said.DisputeOpened(new.id, new.money))
    else:
        draft.say(said.DisputeClosed(new.id, new.money, state))


def _last_try(parts: list[Refund]) -> list[Refund]:
    number = max((r.number for r in parts), default=0)
    return [r for r in parts if r.number == number]


def _number_of(payable: Payable, refund: Refund, state: RefundState) -> int:
    """One that fails late counts among the last try of its request: what failed before was tried anew already."""
    if state is not RefundState.FAILED or not refund.refund_id:
        return refund.number
    return max(r.number for r in payable.refunds if r.refund_id == refund.refund_id)


def _movable(draft: Draft, money: Money) -> tuple[Money, int]:
    """As much of it as the provider can move, with what earlier requests were rounded down by (F-12), and the new rest.

    In a currency other than the due's nothing is carried on: what is rounded off stays with orders.
    """
    due = draft.payable.due
    running = due is not None and due.currency == money.currency
    rest = draft.payable.rounded_minor
    asked = money.amount_minor + (rest if running else 0)
    movable = _whole(draft, asked, money.currency)
    return replace(money, amount_minor=movable), asked - movable if running else rest


def _whole(draft: Draft, amount_minor: int, currency: str) -> int:
    """Rounded down to the provider's unit."""
    return amount_minor - amount_minor % draft.rules.unit_of(currency)


def _captures(payable: Payable, command: RequestRefund) -> list[LedgerFact]:
    """The captures that may be meant; where all money came in another currency, its amounts are meant (R-1.15)."""
    captures = list(payable.facts(Entry.CAPTURED))
    if command.object_id:
        charge = next((a.payment_id for a in payable.attempts if a.charge_id == command.object_id), "")
        captures = [c for c in captures if c.object_id in (command.object_id, charge)]
    currency = counted_currency(payable) if payable.due else command.amount.currency
    wanted = {command.amount.currency}
    if payable.due and currency != payable.due.currency and command.amount.currency == payable.due.currency:
        wanted = {currency}
    return [c for c in captures if c.money.currency in wanted]


def _shares(payable: Payable, captures: list[LedgerFact], amount: int) -> list[tuple[LedgerFact, int]]:
    """One capture that suffices, else as many as it takes, newest first."""
    left = {c.object_id: refundable(payable, c) for c in captures}
    newest = list(reversed(captures))
    enough = next((c for c in newest if left[c.object_id] >= amount), None)
    if enough is not None:
        return [(enough, amount)]
    shares = []
    for capture in newest:
        share = min(amount, left[capture.object_id])
        if share > 0:
            shares.append((capture, share))
            amount -= share
    return shares


def _plan(draft: Draft, refund: Refund) -> None:
    refund = replace(refund, tries=refund.tries + 1)
    draft.put_refund(refund)
    number = sum(r.tries for r in draft.payable.refunds)
    draft.plan(OperationPlan(Kind.REFUND, number, refund.id, Flow.INTENT, refund.source_id, refund.money))


def _announce(draft: Draft, refund: Refund) -> None:
    """Say how the whole request stands: succeeded with its last part, failed once all its parts have ended."""
    parts = [refund]
    if refund.refund_id:
        same = (refund.refund_id, refund.number)
        parts = [r for r in draft.payable.refunds if (r.refund_id, r.number) == same]
    ids = (refund.refund_id, refund.provider_refund_id)
    failed = [r for r in parts if r.state is RefundState.FAILED]
    if refund.state is RefundState.PENDING:
        draft.say(said.RefundPending(*ids, _total(parts)))
    elif any(r.state is RefundState.PENDING for r in parts):
        return
    elif failed:
        code, reason = failed[-1].code, failed[-1].reason
        draft.say(said.RefundFailed(*ids, _total(failed), code, reason))
        draft.raise_incident("refund_failed", refund.refund_id or refund.id, code=code)
    else:
        draft.say(said.RefundSucceeded(*ids, _total(parts)))


def _total(parts: list[Refund]) -> Money:
    return Money(sum(r.money.amount_minor for r in parts), parts[0].money.currency)
