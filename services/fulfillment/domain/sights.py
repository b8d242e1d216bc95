"""What the provider's answers and fetched objects mean for the fulfilment and its parcels.

Why: webhooks come late, twice or never, so only what an answer or a fetch showed counts (S-22), and what was seen
later is never overwritten by what was asked earlier.
"""

from __future__ import annotations

from dataclasses import replace

from .cancelling import cancel_refused
from .draft import Draft, Outcome, shipment_id
from .events import (
    FulfillmentCancelled,
    FulfillmentFailed,
    FulfillmentHeld,
    FulfillmentResumed,
    FulfillmentSubmitted,
    ShipmentDelivered,
    ShipmentFailed,
    ShipmentReturned,
    ShipmentSent,
)
from .fulfillment import (
    CANCELLABLE,
    CONFIRMABLE,
    PROGRESS,
    SHIPMENT_TRANSITIONS,
    Fulfillment,
    FulfillmentState,
    Kind,
    ProviderState,
    Shipment,
    ShipmentState,
    Units,
    common,
    minus,
    plus,
)
from .inputs import ObjectSeen, OperationEnded, SeenShipment
from .submitting import fail

_CONFIRMED = (ProviderState.PENDING, ProviderState.ON_HOLD, ProviderState.IN_PROCESS, ProviderState.FULFILLED)


def operation_ended(draft: Draft, end: OperationEnded) -> None:
    """Take in what the answer showed, or what a failure means for the kind."""
    if not draft.end_operation(end.kind, end.number):
        draft.end(Outcome.STALE, "the operation ended before")
    elif end.seen is not None:
        seen(draft, end.seen, answer_to=end.kind)
        _look_for_effect(draft, end, end.seen)
    elif end.gone and _is_unused(draft, end.reference):
        _draft_gone(draft, end)
    elif end.kind is Kind.CANCEL:
        _cancel_in_vain(draft, end)
    elif draft.fulfillment.cancellation is not None or draft.fulfillment.has_ended:
        draft.note = "ended in vain, and is not wanted any more"
    elif not end.absent:
        fail(draft, end.code, end.reason)
    elif not draft.try_later():
        fail(draft, end.code or "tries_exhausted", end.reason)
    elif end.kind is Kind.CREATE and not draft.fulfillment.hold_id:
        draft.move(FulfillmentState.QUEUED, end.reason)


def seen(draft: Draft, sight: ObjectSeen, *, answer_to: Kind | None = None) -> None:
    """Parcels first, so that units that left are never counted as cancelled; then the object's own state."""
    root = draft.fulfillment
    if sight.sights is not None and sight.sights != root.sights:
        draft.end(Outcome.STALE, "something newer was seen while it was fetched")
        return
    if sight.number != root.number:
        _stray(draft, sight, answer_to)
        return
    known, new = root.provider_state, sight.state
    is_older = PROGRESS[new] < PROGRESS[known] and (sight.sights is None or known in (ProviderState.CANCELED,))
    draft.change(object_id=sight.object_id, sights=root.sights + 1)
    for shipment in sorted(sight.shipments, key=lambda each: each.resent):  # after those whose units they bring again
        _shipment(draft, shipment)
    if is_older:
        draft.note = "older than what was seen before"
        return
    draft.change(provider_state=new)
    if root.state is FulfillmentState.CANCELLED and new is not ProviderState.CANCELED:
        _stray(draft, sight, answer_to)
    elif new is ProviderState.CANCELED:
        _canceled(draft, known)
    elif new in _CONFIRMED:
        _confirmed(draft, known, new, sight.reason)
    elif new is ProviderState.FAILED and known is not ProviderState.FAILED:
        _failed(draft, sight.reason)
    elif new is ProviderState.DRAFT and known in _CONFIRMED:
        draft.raise_incident("fell_back_to_draft", object_id=sight.object_id, reason=sight.reason)
        _working(draft, FulfillmentState.SUBMITTING)
        _confirm_later(draft, "fell_back_to_draft", sight.reason)


def _confirmed(draft: Draft, known: ProviderState, new: ProviderState, reason: str) -> None:
    root = draft.fulfillment
    if not root.submitted:
        draft.change(submitted=True, tries=0, next_try_at=None)
        draft.say(FulfillmentSubmitted(root.request_id, root.round, root.object_id))
    if new is ProviderState.ON_HOLD:
        if known is not ProviderState.ON_HOLD:
            draft.say(FulfillmentHeld("", reason or "on hold at the provider"))
            draft.raise_incident("held_by_provider", reason=reason)
        _working(draft, FulfillmentState.HELD, reason or "on hold at the provider")
        return
    if known is ProviderState.ON_HOLD:
        draft.say(FulfillmentResumed(""))
    _working(draft, FulfillmentState.SUBMITTED)


def _canceled(draft: Draft, known: ProviderState) -> None:
    """Cancelled at the provider: by us, then `settle` answers; or by itself, then orders must know."""
    root = draft.fulfillment
    left = root.open_lines
    if known is ProviderState.CANCELED or root.cancellation is not None or root.has_ended or not left:
        return
    draft.change(cancelled=plus((*root.cancelled, *left)))
    kept = minus(root.lines, draft.fulfillment.cancelled)
    draft.say(FulfillmentCancelled("", root.request_id, root.round, draft.fulfillment.cancelled, kept))
    draft.raise_incident("cancelled_by_provider", object_id=root.object_id)
    draft.move(FulfillmentState.COMPLETED if kept else FulfillmentState.CANCELLED)


def _failed(draft: Draft, reason: str) -> None:
    root = draft.fulfillment
    if root.cancellation is None:
        fail(draft, "failed_at_provider", reason)
    else:
        draft.say(FulfillmentFailed(root.request_id, root.round, "failed_at_provider", reason))


def _look_for_effect(draft: Draft, end: OperationEnded, sight: ObjectSeen) -> None:
    """An answer that left the object as it was is a try in vain, too, though the provider called it a success."""
    root = draft.fulfillment
    if sight.number != root.number:
        return
    if end.kind is Kind.CONFIRM:
        _confirm_later(draft, "not_confirmed", sight.reason)
    elif end.kind is Kind.CANCEL and root.cancellation is not None and root.provider_state in CANCELLABLE:
        _cancel_later(draft, "not_cancelled", sight.reason)


def _is_unused(draft: Draft, reference: int) -> bool:
    """Whether it is about the present object, and that was never more than a draft when we last saw it."""
    root = draft.fulfillment
    return reference in (0, root.number) and root.provider_state is ProviderState.DRAFT and not root.shipments


def _draft_gone(draft: Draft, end: OperationEnded) -> None:
    """Somebody removed the draft: nothing of it will ship, so it is as good as cancelled; else a person decides.

    Trying again makes an object with a name of its own, for the old one may still turn up (F-17).
    """
    root = draft.fulfillment
    if root.cancellation is not None or root.has_ended:
        draft.change(provider_state=ProviderState.CANCELED)
    else:
        draft.change(number=root.number + 1, object_id="", provider_state=ProviderState.ABSENT)
        fail(draft, "draft_gone", end.reason)


def _confirm_later(draft: Draft, code: str, reason: str) -> None:
    """Confirm again what is still to be confirmed, after a pause and not without end (R-4.7)."""
    root = draft.fulfillment
    unconfirmed = root.state is FulfillmentState.SUBMITTING and root.provider_state in CONFIRMABLE
    if unconfirmed and not draft.try_later():
        fail(draft, code, reason)


def _cancel_later(draft: Draft, code: str, reason: str) -> None:
    """Orders waits for the answer, so it goes on trying, at the longest pause in the end, and a person is told."""
    if not draft.try_later():
        draft.raise_incident("cancellation_stuck", code=code, reason=reason)
        draft.change(next_try_at=draft.now + draft.rules.pauses[-1])


def _stray(draft: Draft, sight: ObjectSeen, answer_to: Kind | None) -> None:
    """An object of an earlier round, or one that appeared after its absence was proved: it must not ship (S-10)."""
    if sight.state is ProviderState.CANCELED:
        return
    draft.raise_incident("stray_object", sight.object_id, state=sight.state)
    if answer_to is Kind.CANCEL:  # which changed nothing: a person looks, or the next webhook has it cancelled again
        draft.raise_incident("stray_object_not_cancelled", state=sight.state)
        return
    cancelling = any(operation.kind is Kind.CANCEL for operation in draft.fulfillment.operations)
    if cancelling or sight.state in (ProviderState.IN_PROCESS, ProviderState.FULFILLED):
        return
    draft.plan(Kind.CANCEL, reference=sight.number, object_id=sight.object_id)


def _cancel_in_vain(draft: Draft, end: OperationEnded) -> None:
    if end.reference not in (0, draft.fulfillment.number):
        # A stray of an earlier round: it says nothing about what can be stopped of the present one.
        draft.raise_incident("stray_object_not_cancelled", code=end.code, reason=end.reason)
    elif not end.absent:
        if end.gone:
            draft.raise_incident("object_gone", object_id=draft.fulfillment.object_id, reason=end.reason)
        cancel_refused(draft, end.reason)
    else:
        _cancel_later(draft, end.code, end.reason)


def _shipment(draft: Draft, sight: SeenShipment) -> None:
    """Say that it left, once, and then what became of it, once each."""
    root, sight = draft.fulfillment, replace(sight, lines=plus(sight.lines))
    known = root.shipment(sight.provider_id)
    if known is None and sight.canceled:
        return
    if known is None:
        known = Shipment(
            id=shipment_id(root.order_id, sight.provider_id),
            provider_id=sight.provider_id,
            state=ShipmentState.SENT,
            lines=sight.lines,
            carrier=sight.carrier,
            tracking_number=sight.tracking_number,
            tracking_url=sight.tracking_url,
            sent_at=sight.sent_at or draft.now,
            resent=_resent(root, sight),
        )
        draft.change(shipments=root.with_shipment(known).shipments)
        names = (known.id, root.request_id, root.round)
        tracking = (known.carrier, known.tracking_number, known.tracking_url)
        draft.say(ShipmentSent(*names, *tracking, known.lines, known.resent))
    if sight.state not in SHIPMENT_TRANSITIONS[known.state]:
        return
    draft.change(shipments=draft.fulfillment.with_shipment(replace(known, state=sight.state)).shipments)
    names = (known.id, root.request_id, root.round)
    if sight.state is ShipmentState.DELIVERED:
        draft.say(ShipmentDelivered(*names, known.lines))
    elif sight.state is ShipmentState.FAILED:
        draft.say(ShipmentFailed(*names, sight.reason, known.lines))
    else:
        draft.say(ShipmentReturned(*names, sight.reason, known.lines))


def _resent(root: Fulfillment, sight: SeenShipment) -> Units:
    """Units that left before, by the provider's word: what else is too much is for a person."""
    return common(sight.lines, root.sent_lines) if sight.resent else ()


def _working(draft: Draft, state: FulfillmentState, reason: str = "") -> None:
    """Move, unless a cancellation is under way or the fulfilment ended."""
    root = draft.fulfillment
    if root.cancellation is None and not root.has_ended and not root.hold_id:
        draft.move(state, reason)
