"""Decisions of payments, pure: standard library only.

Why: money is decided here and nowhere else; everything around it carries facts in and decisions out.
"""

from . import events
from .decide import asked, decide, under_way
from .draft import Decision, Incident, OperationPlan, Outcome, Refusal, Rules, operation_id
from .events import Event
from .inputs import (
    AttemptSeen,
    CancelPayment,
    CapturePayment,
    ChargeRefunded,
    CreatePayment,
    DisputeSeen,
    Fact,
    Input,
    OperationEnded,
    OrderPlaced,
    RefundSeen,
    RequestRefund,
    TimePassed,
)
from .payable import Attempt, Cancellation, Dispute, Failure, LedgerFact, Money, Operation, Payable, Refund
from .states import RANKS, TRANSITIONS, AttemptState, DisputeState, End, Entry, Flow, Kind, RefundState, Verdict
from .sums import Snapshot, refundable, snapshot, verdict

__all__ = [
    "RANKS",
    "TRANSITIONS",
    "Attempt",
    "AttemptSeen",
    "AttemptState",
    "CancelPayment",
    "Cancellation",
    "CapturePayment",
    "ChargeRefunded",
    "CreatePayment",
    "Decision",
    "Dispute",
    "DisputeSeen",
    "DisputeState",
    "End",
    "Entry",
    "Event",
    "Fact",
    "Failure",
    "Flow",
    "Incident",
    "Input",
    "Kind",
    "LedgerFact",
    "Money",
    "Operation",
    "OperationEnded",
    "OperationPlan",
    "OrderPlaced",
    "Outcome",
    "Payable",
    "Refund",
    "RefundSeen",
    "RefundState",
    "Refusal",
    "RequestRefund",
    "Rules",
    "Snapshot",
    "TimePassed",
    "Verdict",
    "asked",
    "decide",
    "events",
    "operation_id",
    "refundable",
    "snapshot",
    "under_way",
    "verdict",
]
