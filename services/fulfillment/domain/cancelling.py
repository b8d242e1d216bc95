"""Stopping what can be stopped, and the one answer to orders (S-10).

Why: units count as cancelled only on proof: nothing was sent, the provider refused, look-ups found nothing, or the
object was seen cancelled. While a call is in doubt there is no answer.
"""

from __future__ import annotations

from dataclasses import replace

from .draft import Draft, Outcome
from .events import FulfillmentCancellationRefused, FulfillmentCancelled
from .fulfillment import CANCELLABLE, Cancellation, FulfillmentState, Kind, ProviderState, minus, plus
from .inputs import CancelFulfillment

_GONE = (ProviderState.ABSENT, ProviderState.CANCELED)


def cancel(draft: Draft, command: CancelFulfillment) -> None:
    """Take the cancellation in; `settle` carries it out."""
    root = draft.fulfillment
    if command.cancellation_id in root.answered or (
        root.cancellation and root.cancellation.id == command.cancellation_id
    ):
        draft.end(Outcome.STALE, "asked before")
    elif command.request_id != root.request_id or root.cancellation is not None:
        draft.end(Outcome.CONTRADICTION, "the cancellation is not of the present request")
        draft.raise_incident("cancellation_of_other_request", command.cancellation_id, request_id=command.request_id)
    else:
        draft.change(cancellation=Cancellation(command.cancellation_id), tries=0, next_try_at=None)
        if not root.has_ended:
            draft.move(FulfillmentState.CANCELLING)


def settle(draft: Draft) -> None:
    """Answer when every unit's fate is proved; else do what brings the proof."""
    root = draft.fulfillment
    assert root.cancellation is not None
    if root.operations:
        draft.withdraw = any(operation.kind is not Kind.CANCEL for operation in root.operations)
        return
    left = root.open_lines
    if left and root.provider_state in CANCELLABLE and not root.cancellation.refused:
        if draft.due:
            draft.plan(Kind.CANCEL, reference=root.number, object_id=root.object_id)
        return
    if left and root.provider_state in _GONE:
        draft.change(cancelled=plus((*root.cancelled, *left)))
    _answer(draft, root.cancellation.id)


def cancel_refused(draft: Draft, reason: str) -> None:
    """The provider will not cancel: the units count as not stoppable from now on."""
    cancellation = draft.fulfillment.cancellation
    if cancellation is not None:
        draft.change(cancellation=replace(cancellation, refused=True))
    else:
        draft.raise_incident("stray_object_not_cancelled", reason=reason)


def _answer(draft: Draft, cancellation_id: str) -> None:
    root = draft.fulfillment
    draft.answered(cancellation_id)
    draft.change(cancellation=None, tries=0, next_try_at=None)
    kept = minus(root.lines, root.cancelled)
    if root.cancelled:
        draft.say(FulfillmentCancelled(cancellation_id, root.request_id, root.round, root.cancelled, kept))
    else:
        reason = "every unit left" if not root.open_lines else "the provider is making the goods"
        draft.say(FulfillmentCancellationRefused(cancellation_id, root.request_id, root.round, reason))
    if root.has_ended:
        return
    if not kept:
        draft.move(FulfillmentState.CANCELLED)
    else:
        draft.move(FulfillmentState.COMPLETED if not root.open_lines else FulfillmentState.SUBMITTED)
