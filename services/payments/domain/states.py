"""States and kinds of payments' objects, and the legal moves of an attempt.

Why: the database's CHECKs, the messages and these values must agree, and a test compares them.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """Judgement over all attempts, ledger first (SAGA 2)."""

    UNPAID = "UNPAID"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PAID = "PAID"
    MISMATCHED = "MISMATCHED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class AttemptState(StrEnum):
    """Lifecycle of an attempt."""

    CREATING = "CREATING"
    PAYABLE = "PAYABLE"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    SUCCEEDED = "SUCCEEDED"
    CANCELED = "CANCELED"


_LIVE = {AttemptState.PAYABLE, AttemptState.REQUIRES_ACTION, AttemptState.PROCESSING}
END = {AttemptState.SUCCEEDED, AttemptState.CANCELED}

# From -> to. Between the live states the customer may go back and forth; the provider's time decides. What comes
# later in RANKS is never overwritten by what comes earlier, whatever arrives last: money wins over all.
TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.CREATING: frozenset({*_LIVE, AttemptState.AUTHORIZED, *END}),
    AttemptState.PAYABLE: frozenset({*_LIVE - {AttemptState.PAYABLE}, AttemptState.AUTHORIZED, *END}),
    AttemptState.REQUIRES_ACTION: frozenset({*_LIVE - {AttemptState.REQUIRES_ACTION}, AttemptState.AUTHORIZED, *END}),
    AttemptState.PROCESSING: frozenset({*_LIVE - {AttemptState.PROCESSING}, AttemptState.AUTHORIZED, *END}),
    AttemptState.AUTHORIZED: frozenset(END),
    AttemptState.CANCELED: frozenset({AttemptState.SUCCEEDED}),
    AttemptState.SUCCEEDED: frozenset(),
}
RANKS: dict[AttemptState, int] = {
    AttemptState.CREATING: 0,
    AttemptState.PAYABLE: 1,
    AttemptState.REQUIRES_ACTION: 1,
    AttemptState.PROCESSING: 1,
    AttemptState.AUTHORIZED: 2,
    AttemptState.CANCELED: 3,
    AttemptState.SUCCEEDED: 4,
}


class Flow(StrEnum):
    """How the customer pays."""

    INTENT = "INTENT"
    CHECKOUT = "CHECKOUT"


class End(StrEnum):
    """Why an attempt ended without money."""

    NONE = ""
    CANCELED = "canceled"
    LAPSED = "lapsed"
    FAILED = "failed"


class Entry(StrEnum):
    """Kinds of ledger facts."""

    AUTHORIZED = "authorized"
    RELEASED = "released"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUND_REVERSED = "refund_reversed"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"


class RefundState(StrEnum):
    """Lifecycle of a refund; a succeeded one can still fail (F-8)."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class DisputeState(StrEnum):
    """Where a dispute stands."""

    NONE = "NONE"
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class Kind(StrEnum):
    """What an operation asks of the provider."""

    CREATE = "create"
    CANCEL = "cancel"
    CAPTURE = "capture"
    REFUND = "refund"
