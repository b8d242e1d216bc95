"""Attempts: begin one, follow what the provider shows of it, capture it.

Why: webhooks come late, twice and in any order, so a state is taken by rank and the provider's time, never by
arrival, and money is counted by its object (R-1.14, S-13).
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any

from . import events as said
from .draft import Draft, OperationPlan, Outcome
from .inputs import AttemptSeen, CapturePayment, CreatePayment, OperationEnded
from .money import money_arrived
from .payable import Attempt, Failure, Money
from .states import RANKS, TRANSITIONS, AttemptState, End, Entry, Flow, Kind, Verdict
from .sums import verdict

_ENDS = (End.NONE, End.CANCELED, End.LAPSED, End.FAILED)


def create(draft: Draft, command: CreatePayment) -> None:
    """Answer the attempt of this request, the live one, or begin the next (R-1.5, S-14)."""
    payable = draft.payable
    if payable.due is not None and payable.due != command.due:
        return draft.refuse("AMOUNT_DIFFERS", "Another amount is due for this order.")
    repeated = next((a for a in payable.attempts if a.request_id == command.request_id), None)
    live = repeated or payable.live_attempt
    if payable.closed and (repeated is None or not repeated.ended):
        return draft.refuse("PAYABLE_CLOSED", "The payment of this order was cancelled.")
    if repeated is None and verdict(payable) in (Verdict.PAID, Verdict.MISMATCHED):
        return draft.refuse("ALREADY_PAID", "Money for this order has already come.")
    if live is not None:
        draft.attempt_id = live.id
        draft.outcome = Outcome.STALE
        return None
    draft.change(due=command.due, manual_capture=command.manual_capture)
    attempt = Attempt(
        id=command.attempt_id,
        number=len(payable.attempts) + 1,
        flow=command.flow,
        state=AttemptState.CREATING,
        created_at=draft.now,
        state_at=draft.now,
        request_id=command.request_id,
    )
    draft.change(attempts=(*payable.attempts, attempt))
    draft.attempt_id = attempt.id
    return _plan_create(draft, attempt)


def seen(draft: Draft, fact: AttemptSeen) -> None:
    """Take in an intent or session: its money by object, its state by rank."""
    attempt = _find(draft, fact)
    if attempt is None:
        attempt = _adopt(draft, fact)
    booked, fresh = len(draft.payable.ledger), not attempt.object_id
    failure = _new_failure(attempt, fact)
    moves = _moves(draft, attempt, fact)
    is_current = RANKS[attempt.state] <= 1 and (
        attempt.state is AttemptState.CREATING
        or (fact.state is AttemptState.PAYABLE and (fact.asked or fact.occurred_at >= attempt.state_at))
    )
    changes = {**_identity(attempt, fact), **_failed(attempt, fact, failure), **_progress(attempt, fact, moves)}
    if changes:
        attempt = draft.put(replace(attempt, **changes))
    if fresh and attempt.object_id and not attempt.orphan and not fact.captured_minor:
        draft.say(said.PaymentCreated(attempt.id, attempt.object_id))
    if failure is not None and is_current and not attempt.orphan:
        draft.say(said.PaymentFailed(attempt.id, attempt.object_id, failure.code, failure.message))
    _take_money(draft, attempt, fact)
    if moves:
        _announce(draft, attempt, fact)
    if not moves and len(draft.payable.ledger) == booked and not draft.events:
        draft.outcome = Outcome.STALE


def capture(draft: Draft, command: CapturePayment) -> None:
    """Plan the capture of an authorisation; a smaller amount is what is due once it is captured (R-1.21)."""
    payable = draft.payable
    known = next((a for a in payable.attempts if a.capture_request == command.request_id), None)
    if known is not None or verdict(payable) is Verdict.PAID:
        draft.outcome = Outcome.STALE
        return
    attempt = payable.live_attempt
    authorized = next((f for f in payable.facts(Entry.AUTHORIZED) if attempt and attempt.names(f.object_id)), None)
    refused = ""
    if attempt is None or attempt.state is not AttemptState.AUTHORIZED or authorized is None:
        refused = "not_authorized"
    elif any((o.kind, o.target_id) == (Kind.CAPTURE, attempt.id) for o in payable.operations):
        refused = "capture_under_way"
    elif payable.closed:
        refused = "payable_closed"
    elif command.amount.currency != authorized.money.currency:
        refused = "currency_differs"
    elif not 0 < command.amount.amount_minor <= authorized.money.amount_minor:
        refused = "amount_too_large"
    elif command.amount.amount_minor % draft.rules.unit_of(command.amount.currency):
        refused = "amount_not_payable"
    if refused or attempt is None:
        last = attempt or (payable.attempts[-1] if payable.attempts else None)
        ids = (last.id, last.object_id) if last else ("", "")
        draft.say(said.PaymentCaptureFailed(*ids, command.request_id, refused, "Nothing can be captured."))
        return
    amount = command.amount
    attempt = replace(attempt, capture_request=command.request_id, capture_minor=amount.amount_minor)
    _plan_capture(draft, attempt, amount)


def create_ended(draft: Draft, end: OperationEnded) -> None:
    """The provider answered a create: adopt the object, or end the attempt that never was."""
    attempt = draft.payable.attempt(end.target_id)
    if end.succeeded or attempt.object_id:
        return
    if end.absent and not draft.payable.closed:
        return _plan_create(draft, attempt)
    failure = Failure(draft.now, end.code, end.reason)
    attempt = draft.put(
        replace(attempt, state=AttemptState.CANCELED, state_at=draft.now, end=End.FAILED, failure=failure)
    )
    draft.say(said.PaymentFailed(attempt.id, "", end.code, end.reason))
    return None


def capture_ended(draft: Draft, end: OperationEnded) -> None:
    """A refused capture answers the request; the object that came with it is taken in by `seen`."""
    attempt = draft.payable.attempt(end.target_id)
    captured = isinstance(end.seen, AttemptSeen) and end.seen.captured_minor > 0
    if captured or draft.payable.has(attempt.payment_id, Entry.CAPTURED):
        return
    if end.absent and attempt.state is AttemptState.AUTHORIZED and not draft.payable.closed and draft.payable.due:
        due = draft.payable.due
        return _plan_capture(draft, attempt, replace(due, amount_minor=attempt.capture_minor or due.amount_minor))
    code, reason = end.code or "not_captured", end.reason or "Nothing was captured."
    draft.say(said.PaymentCaptureFailed(attempt.id, attempt.object_id, attempt.capture_request, code, reason))
    return None


def _plan_capture(draft: Draft, attempt: Attempt, amount: Money) -> None:
    attempt = draft.put(replace(attempt, captures=attempt.captures + 1))
    number = sum(a.captures for a in draft.payable.attempts)
    draft.plan(OperationPlan(Kind.CAPTURE, number, attempt.id, attempt.flow, attempt.payment_id, amount))


def _plan_create(draft: Draft, attempt: Attempt) -> None:
    draft.put(replace(attempt, creates=attempt.creates + 1))
    number = sum(a.creates for a in draft.payable.attempts)
    draft.plan(OperationPlan(Kind.CREATE, number, attempt.id, attempt.flow, money=draft.payable.due))


def _find(draft: Draft, fact: AttemptSeen) -> Attempt | None:
    """By the provider's ids; else by ours, where the attempt has no such object yet."""
    attempts = draft.payable.attempts
    found = next((a for a in attempts if a.names(fact.session_id, fact.payment_id)), None)
    if found is not None:
        return found
    ours = next((a for a in attempts if a.id == fact.attempt_id and not a.ended), None)
    if ours is None:
        return None
    if ours.flow is Flow.CHECKOUT:
        open_session = not fact.session_id or not ours.object_id
        return ours if open_session and (not fact.payment_id or not ours.payment_id) else None
    return ours if not ours.object_id and not fact.session_id else None


def _adopt(draft: Draft, fact: AttemptSeen) -> Attempt:
    """An object for our order that no call of ours is known to have made: it joins, or it must end (R-1.6).

    One that ended unpaid is kept, so that an older event about it does not make it a live attempt.
    """
    payable = draft.payable
    paid, ended = fact.state is AttemptState.SUCCEEDED, fact.state is AttemptState.CANCELED
    beside = payable.live_attempt is not None or payable.closed or payable.money_came
    attempt = Attempt(
        id=fact.new_id or fact.object_id,
        number=len(payable.attempts) + 1,
        flow=Flow.CHECKOUT if fact.session_id else Flow.INTENT,
        state=AttemptState.CREATING,
        created_at=draft.now,
        state_at=draft.now,
        orphan=ended or (beside and not paid),
    )
    draft.change(attempts=(*payable.attempts, attempt))
    return attempt


def _identity(attempt: Attempt, fact: AttemptSeen) -> dict[str, Any]:
    """Ids and method that were not known before; charge and method only of money, not of failures."""
    paid = fact.captured_minor or fact.authorized_minor
    told = {
        "payment_id": fact.payment_id,
        "object_id": fact.session_id if attempt.flow is Flow.CHECKOUT else fact.payment_id,
        "charge_id": fact.charge_id if paid else "",
        "method": fact.method if paid else "",
    }
    return {name: value for name, value in told.items() if value and not getattr(attempt, name)}


def _new_failure(attempt: Attempt, fact: AttemptSeen) -> Failure | None:
    """The failure that the fact tells, where it is newer than the one we know (R-1.14)."""
    if not fact.failed and not (fact.asked and fact.failure_code):
        return None
    failure, old = Failure(fact.occurred_at, fact.failure_code, fact.failure_message), attempt.failure
    if old is None:
        return failure
    if fact.asked and (old.code, old.message) == (failure.code, failure.message):
        return None
    newer = (failure.occurred_at, failure.code, failure.message) > (old.occurred_at, old.code, old.message)
    return failure if newer else None


def _failed(attempt: Attempt, fact: AttemptSeen, failure: Failure | None) -> dict[str, Any]:
    """A failure is counted, a late one too; the newest words are kept."""
    counted: dict[str, Any] = {"failures": attempt.failures + 1} if fact.failed else {}
    return {**counted, "failure": failure} if failure is not None else counted


def _moves(draft: Draft, attempt: Attempt, fact: AttemptSeen) -> bool:
    """Whether the state is taken: its rank is higher, or equal and the provider's time later."""
    if fact.state not in TRANSITIONS[attempt.state]:
        return False
    if RANKS[fact.state] > RANKS[attempt.state]:
        return True
    if fact.as_of is not None:
        return attempt.state_at <= fact.as_of
    if fact.occurred_at == attempt.state_at and not fact.asked:
        draft.look(draft.now)  # the provider's times have seconds only: ask for the truth
    return (fact.occurred_at, _tie(fact.state, fact.failed)) > (attempt.state_at, _tie_of(attempt))


def _progress(attempt: Attempt, fact: AttemptSeen, moves: bool) -> dict[str, Any]:
    """The new state; or, where it is the same one, its newest time and the strongest reason of its end."""
    if moves:
        # What was asked keeps the provider's last time: its later events must not look old beside our clock.
        return {"state": fact.state, "state_at": fact.as_of or fact.occurred_at, "end": fact.end}
    if fact.state is not attempt.state:
        return {}
    end = max(attempt.end, fact.end, key=_ENDS.index)
    later = RANKS[fact.state] == 1 and not fact.asked and fact.occurred_at > attempt.state_at
    changes: dict[str, Any] = {"state_at": fact.occurred_at} if later else {}
    return changes if end is attempt.end else {**changes, "end": end}


def _tie(state: AttemptState, failed: bool) -> int:
    if state is AttemptState.PAYABLE:
        return 3 if failed else 0
    return 1 if state is AttemptState.REQUIRES_ACTION else 2


def _tie_of(attempt: Attempt) -> int:
    return _tie(attempt.state, attempt.failure is not None and attempt.failure.occurred_at == attempt.state_at)


def _take_money(draft: Draft, attempt: Attempt, fact: AttemptSeen) -> None:
    """Book what the fact shows, and end an authorisation that was captured or cancelled, in any order of arrival."""
    source = fact.money_id
    if fact.authorized_minor:
        draft.book(source, Entry.AUTHORIZED, Money(fact.authorized_minor, fact.currency), fact.occurred_at)
    captured = Money(fact.captured_minor, fact.currency)
    if draft.book(source, Entry.CAPTURED, captured, fact.occurred_at):
        due = draft.payable.due
        if due and captured.currency == due.currency and captured.amount_minor == attempt.capture_minor:
            draft.change(due=min(due, captured, key=attrgetter("amount_minor")))  # orders asked for a part only
        money_arrived(draft, attempt, source, captured)
    over = attempt.state is AttemptState.CANCELED or draft.payable.has(source, Entry.CAPTURED)
    held = next((f for f in draft.payable.facts(Entry.AUTHORIZED) if f.object_id == source), None)
    if over and held is not None:
        draft.book(source, Entry.RELEASED, held.money, fact.occurred_at)


def _announce(draft: Draft, attempt: Attempt, fact: AttemptSeen) -> None:
    """Say what the new state means to others; an orphan's life is nobody's business but its money."""
    if attempt.orphan:
        return
    ids = (attempt.id, attempt.object_id)
    if attempt.state is AttemptState.REQUIRES_ACTION:
        draft.say(said.PaymentRequiresAction(*ids))
    elif attempt.state is AttemptState.PROCESSING:
        draft.say(said.PaymentProcessing(*ids))
    elif attempt.state is AttemptState.AUTHORIZED:
        draft.say(said.PaymentAuthorized(*ids, Money(fact.authorized_minor, fact.currency)))
    elif attempt.state is AttemptState.CANCELED:
        held = next((f for f in draft.payable.facts(Entry.AUTHORIZED) if f.object_id == fact.money_id), None)
        if attempt.end is End.LAPSED and held is not None:
            draft.say(said.PaymentAuthorizationExpired(*ids, held.money))
        elif attempt.end is End.FAILED and not attempt.failures:
            draft.say(said.PaymentFailed(*ids, fact.failure_code, fact.failure_message))
        else:
            draft.say(said.PaymentCanceled(*ids))
