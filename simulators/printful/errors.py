"""Printful's error bodies: `code`, `result` as text and `error` with reason and message."""

from typing import Any

from ..shared.refusal import Refusal


class PrintfulError(Refusal):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": status, "result": message, "error": {"reason": reason, "message": message}}


def bad_request(message: str) -> PrintfulError:
    """400: a field or the order's state forbids the call."""
    return PrintfulError(400, "BadRequest", message)


def external_id_in_use(external_id: str) -> PrintfulError:
    """OR-13 EXTERNAL_ID_IN_USE: the one protection against doubles that Printful has (F-17)."""
    return bad_request(f"OR-13: The external_id provided ({external_id}) already exists and cannot be used")


def no_longer_editable() -> PrintfulError:
    """OR-1 ORDER_NO_LONGER_EDITABLE: only drafts and failed orders can be changed."""
    return bad_request(
        "OR-1: The order is no longer editable. It must have one of the following statuses: draft, failed"
    )


def not_cancelable(status: str) -> PrintfulError:
    """`inreview` and `inprocess` cannot be cancelled, nor can what has left or ended (F-18)."""
    return bad_request(f"This order can no longer be canceled because its status is {status}")


def not_found() -> PrintfulError:
    """404: no such order in this store."""
    return PrintfulError(404, "NotFound", "Not found")


def unauthorized(message: str) -> PrintfulError:
    """401: token missing or wrong."""
    return PrintfulError(401, "Unauthorized", message)


def wrong_store(store: str) -> PrintfulError:
    """403: the token does not reach that store."""
    return PrintfulError(403, "Forbidden", f"You do not have access to store {store}")


def too_many_requests(seconds: int) -> PrintfulError:
    """429: more than 120 calls in a minute (F-18)."""
    message = f"You have recently sent too many requests. Please try again after {seconds} seconds."
    return PrintfulError(429, "TooManyRequests", message)


def internal_error() -> PrintfulError:
    """500: something broke at Printful."""
    return PrintfulError(500, "InternalServerError", "Internal server error")
