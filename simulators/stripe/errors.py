"""Stripe's error bodies, so that the SDK raises the same classes as against the real API."""

from typing import Any

from ..shared.refusal import Refusal

_DOC = "https://docs.stripe.com/error-codes/"


class StripeError(Refusal):
    """An answer other than 200; `kept` says whether an idempotency key remembers it (F-9)."""

    def __init__(self, status: int, type_: str, message: str, *, kept: bool = True, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        error: dict[str, Any] = {"message": message, "type": type_}
        error.update({key: value for key, value in fields.items() if value is not None})
        if "code" in error:
            error["doc_url"] = _DOC + error["code"].replace("_", "-")
        self.body: dict[str, Any] = {"error": error}


def parameter_missing(name: str) -> StripeError:
    """A required parameter was not sent."""
    message = f"Missing required param: {name}."
    return StripeError(400, "invalid_request_error", message, kept=False, code="parameter_missing", param=name)


def parameter_unknown(name: str) -> StripeError:
    """A parameter that the endpoint does not know."""
    message = f"Received unknown parameter: {name}"
    return StripeError(400, "invalid_request_error", message, kept=False, code="parameter_unknown", param=name)


def parameter_invalid(name: str, message: str, code: str | None = None) -> StripeError:
    """A parameter whose value is refused before anything is executed."""
    return StripeError(400, "invalid_request_error", message, kept=False, code=code, param=name)


def missing(kind: str, identifier: str, *, param: str = "id", status: int = 404) -> StripeError:
    """No such object: 404 when the path names it, 400 when a parameter does."""
    message = f"No such {kind}: '{identifier}'"
    return StripeError(status, "invalid_request_error", message, kept=False, code="resource_missing", param=param)


def refused(message: str, code: str | None = None, **fields: Any) -> StripeError:
    """The object is in a state that forbids the call; remembered by the idempotency key."""
    return StripeError(400, "invalid_request_error", message, code=code, **fields)


def unexpected_state(intent: dict[str, Any], verb: str, allowed: str) -> StripeError:
    """A PaymentIntent that cannot be confirmed, captured, cancelled or changed now (F-7)."""
    message = (
        f"This PaymentIntent's status is {intent['status']}, so you cannot {verb} it. "
        f"Only a PaymentIntent with one of the following statuses may be used here: {allowed}."
    )
    return refused(message, "payment_intent_unexpected_state", payment_intent=dict(intent))


def card_declined(intent: dict[str, Any], error: dict[str, Any]) -> StripeError:
    """402: the card was refused; the body carries the intent as it stands now."""
    fields = {key: value for key, value in error.items() if key not in ("message", "type", "doc_url")}
    return StripeError(402, "card_error", error["message"], **fields, payment_intent=dict(intent))


def idempotency_mismatch(key: str, message: str) -> StripeError:
    """The key was used with something else (F-9)."""
    text = f"{message} Try using a key other than '{key}' if you meant to execute a different request."
    return StripeError(400, "idempotency_error", text, kept=False)


def idempotency_in_use(key: str) -> StripeError:
    """The first request with this key is still under way; nothing is kept for this one (F-9)."""
    message = (
        f"There is currently another in-progress request using this Idempotent Key ({key}): "
        "you may have submitted twice, and the other request is still going through. Please try again later."
    )
    return StripeError(409, "idempotency_error", message, kept=False, code="idempotency_key_in_use")


def rate_limited() -> StripeError:
    """429, decided before the idempotency layer (F-10)."""
    message = "Request rate limit exceeded. Learn more about rate limits at https://docs.stripe.com/rate-limits."
    return StripeError(429, "invalid_request_error", message, kept=False, code="rate_limit")


def internal_error() -> StripeError:
    """500: something broke at Stripe; a key remembers this one too (F-9)."""
    return StripeError(500, "api_error", "An unknown error occurred. Please try again later.")


def unauthorized(message: str) -> StripeError:
    """401: no key, or a wrong one."""
    return StripeError(401, "invalid_request_error", message, kept=False)


def forbidden(message: str) -> StripeError:
    """A publishable key asked for what only the secret key may do."""
    return StripeError(403, "invalid_request_error", message, kept=False, code="secret_key_required")


def no_such_url(method: str, path: str) -> StripeError:
    """404: the simulator, like Stripe, knows no such endpoint."""
    return StripeError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).", kept=False)
