"""`decide`: the one place where fulfillment decides, for every cause and without any I/O.

Why: doors, jobs and the exhaustive model all drive this function, so what the model proves is what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import cancelling, sights, submitting
from .draft import Decision, Draft, Rules
from .fulfillment import Fulfillment
from .inputs import (
    CancelFulfillment,
    HoldFulfillment,
    Input,
    NotPrepared,
    ObjectSeen,
    OperationEnded,
    Prepared,
    RequestFulfillment,
    ResumeFulfillment,
    RetryFulfillment,
    TimePassed,
)

_RULES = Rules()


def decide(
    fulfillment: Fulfillment, cause: Input, now: datetime, rules: Rules = _RULES, *, parked: bool = False
) -> Decision:
    """What follows from one cause. `fulfillment` is `Fulfillment(order_id)` where the order is not known yet.

    `parked`: events of the order wait parked, perhaps its cancellation, so nothing is begun before they were heard
    (S-27).
    """
    draft = Draft(fulfillment, now, rules, parked)
    _HANDLERS[type(cause)](draft, cause)
    if draft.fulfillment.cancellation is not None:
        cancelling.settle(draft)
    else:
        submitting.go_on(draft)
    if draft.fulfillment != fulfillment or draft.events:
        draft.change(version=fulfillment.version + max(1, len(draft.events)))
    return Decision(
        fulfillment=draft.fulfillment,
        events=tuple(draft.events),
        operations=tuple(draft.operations),
        incidents=tuple(draft.incidents),
        outcome=draft.outcome,
        note=draft.note,
        withdraw=draft.withdraw,
    )


def _time_passed(draft: Draft, cause: TimePassed) -> None:
    """The time that was set is over; what follows a cause also follows time, and may set another."""
    if draft.due:
        draft.change(next_try_at=None)


_HANDLERS: dict[type, Callable[[Draft, Any], None]] = {
    RequestFulfillment: submitting.request,
    Prepared: submitting.prepared,
    NotPrepared: submitting.not_prepared,
    HoldFulfillment: submitting.hold,
    ResumeFulfillment: submitting.resume,
    RetryFulfillment: submitting.retry,
    CancelFulfillment: cancelling.cancel,
    OperationEnded: sights.operation_ended,
    ObjectSeen: sights.seen,
    TimePassed: _time_passed,
}
