"""From the request of orders to a confirmed object at the provider, with holds and tries in vain.

Why: an object is created as a draft and confirmed by a second call, so that nothing is charged before we know its
id (F-18).
"""

from __future__ import annotations

from .draft import Draft, Outcome
from .events import FulfillmentFailed, FulfillmentHeld, FulfillmentHoldRefused, FulfillmentResumed
from .fulfillment import CONFIRMABLE, FulfillmentState, Kind, ProviderState
from .inputs import HoldFulfillment, NotPrepared, Prepared, RequestFulfillment, ResumeFulfillment, RetryFulfillment

_UNCONFIRMED = (ProviderState.ABSENT, ProviderState.DRAFT)


def request(draft: Draft, command: RequestFulfillment) -> None:
    """Begin, or begin again in a new round with a new object."""
    root = draft.fulfillment
    if command.round <= root.round:
        draft.end(Outcome.STALE, "requested before")
    elif root.round and root.state is not FulfillmentState.CANCELLED:
        draft.end(Outcome.CONTRADICTION, "requested while the last request is still under way")
        draft.raise_incident("fulfillment_requested_twice", request_id=command.request_id)
    else:
        draft.change(
            state=FulfillmentState.QUEUED,
            request_id=command.request_id,
            round=command.round,
            lines=command.lines,
            number=root.number + 1,
            object_id="",
            provider_state=ProviderState.ABSENT,
            submitted=False,
            hold_id="",
            reason="",
            tries=0,
            next_try_at=draft.now,
            cancelled=(),
        )


def prepared(draft: Draft, _: Prepared) -> None:
    """Create the object, unless the fulfilment is not waiting for that any more."""
    root = draft.fulfillment
    if root.state is not FulfillmentState.QUEUED or root.operations:
        draft.end(Outcome.STALE, "not queued any more")
        return
    if draft.parked:
        draft.end(Outcome.STALE, "prepared again once its parked events were heard")
        return
    draft.move(FulfillmentState.SUBMITTING)
    draft.plan(Kind.CREATE, reference=root.number)


def not_prepared(draft: Draft, cause: NotPrepared) -> None:
    """Hold it for a person, or try again later."""
    if draft.fulfillment.state is not FulfillmentState.QUEUED:
        draft.end(Outcome.STALE, "not queued any more")
    elif cause.for_person:
        draft.move(FulfillmentState.HELD, cause.reason)
        draft.change(next_try_at=None)
        draft.say(FulfillmentHeld("", cause.reason))
        draft.raise_incident("fulfillment_held", reason=cause.reason)
    elif not draft.try_later():
        fail(draft, "not_prepared", cause.reason)


def hold(draft: Draft, command: HoldFulfillment) -> None:
    """Hold what was not confirmed; the provider knows no hold, so a confirmed order is too late (S-23).

    A confirm under way may only be waiting, as after a 429 (F-18): whether it can be taken back decides.
    """
    root = draft.fulfillment
    if command.request_id in root.answered:
        draft.end(Outcome.STALE, "answered before")
        return
    confirms = [operation for operation in root.operations if operation.kind is Kind.CONFIRM]
    too_late = root.has_ended or root.cancellation or root.provider_state not in _UNCONFIRMED or not root.round
    if confirms and not too_late and command.taken_back is None:
        draft.withdraw = True
        return
    draft.answered(command.request_id)
    if too_late or (confirms and not command.taken_back):
        draft.say(FulfillmentHoldRefused(command.request_id, "it is too late: the provider has the order"))
        return
    for confirm in confirms:
        draft.end_operation(confirm.kind, confirm.number)
    draft.change(hold_id=command.request_id)
    draft.move(FulfillmentState.HELD, command.reason)
    draft.say(FulfillmentHeld(command.request_id, command.reason))


def resume(draft: Draft, command: ResumeFulfillment) -> None:
    """Go on where the hold stopped it."""
    root = draft.fulfillment
    if command.request_id in root.answered:
        draft.end(Outcome.STALE, "answered before")
        return
    draft.answered(command.request_id)
    draft.say(FulfillmentResumed(command.request_id))
    if root.hold_id:
        draft.change(hold_id="")
        _back_to_work(draft)


def retry(draft: Draft, _: RetryFulfillment) -> None:
    """Try again with all tries; what orders holds stays held."""
    root = draft.fulfillment
    if root.state not in (FulfillmentState.HELD, FulfillmentState.FAILED) or root.hold_id:
        draft.end(Outcome.REFUSED, f"the fulfilment is {root.state}, only one that failed or waits can be tried again")
        return
    _back_to_work(draft)
    draft.say(FulfillmentResumed(""))


def fail(draft: Draft, code: str, reason: str) -> None:
    """Give up until a person looks; said once (R-4.7)."""
    root = draft.fulfillment
    if root.state is FulfillmentState.FAILED:
        return
    draft.move(FulfillmentState.FAILED, reason)
    draft.change(next_try_at=None)
    draft.say(FulfillmentFailed(root.request_id, root.round, code, reason))
    draft.raise_incident("fulfillment_failed", code=code, reason=reason)


def go_on(draft: Draft) -> None:
    """Plan the next call where nothing is under way and nothing holds it; close what is complete."""
    root = draft.fulfillment
    if root.operations or not root.round:
        return
    if root.state is FulfillmentState.SUBMITTING and root.provider_state in CONFIRMABLE and draft.due:
        if draft.parked:
            draft.change(next_try_at=root.next_try_at or draft.now)  # the job that tries again leaves it alone as well
        else:
            draft.plan(Kind.CONFIRM, reference=root.number, object_id=root.object_id)
    elif root.state is FulfillmentState.SUBMITTED and not root.open_lines:
        draft.move(FulfillmentState.COMPLETED)


def _back_to_work(draft: Draft) -> None:
    root = draft.fulfillment
    draft.change(tries=0, next_try_at=draft.now)
    if root.has_ended or root.cancellation or root.provider_state is ProviderState.ON_HOLD:
        return
    if root.provider_state is ProviderState.ABSENT:
        busy = bool(root.operations)
        draft.move(FulfillmentState.SUBMITTING if busy else FulfillmentState.QUEUED)
    elif root.provider_state in CONFIRMABLE:
        draft.move(FulfillmentState.SUBMITTING)
    else:
        draft.move(FulfillmentState.SUBMITTED)
