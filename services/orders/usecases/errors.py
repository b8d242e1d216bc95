"""Refusals of orders that a caller can act on.

Why: each has one reason and one sentence, whichever door shows it.
"""

from typing import Final

from services.chassis.errors import Code, DomainError, NotFound, Overloaded, Refused

FINAL: Final = frozenset({Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, Code.NOT_FOUND})
"""What a partner refuses so, it refuses for ever: the request ends. Anything else may be tried again."""


class OrderNotFound(NotFound):
    """There is no such order."""

    reason = "ORDER_NOT_FOUND"


class PlacingAbandoned(Refused):
    """The order could not be placed in time and nothing of it is left; send it again under a new request id."""

    reason = "PLACING_ABANDONED"


class NotPayable(Refused):
    """The order cannot be paid: {why}"""

    reason = "NOT_PAYABLE"


class TooManyKeys(DomainError):
    """The order would have more than {most} keys of metadata."""

    code, reason = Code.INVALID_ARGUMENT, "TOO_MANY_METADATA_KEYS"


class AnswerTooLarge(Overloaded):
    """The answers before this one fill the message; repeat this request: its order or its refusal is stored."""

    reason = "ANSWER_TOO_LARGE"


class TooManyWatchers(Overloaded):
    """Too many orders are being watched; read the order instead, or watch it later."""

    reason = "TOO_MANY_WATCHERS"


def refused(reason: str, message: str) -> Refused:
    """The domain's refusal as an error."""
    error = Refused(message)
    error.reason = reason
    return error
