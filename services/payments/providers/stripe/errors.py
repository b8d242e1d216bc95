"""Stripe's errors as the three that matter: refused, surely not executed, perhaps executed.

Why: what may be repeated depends on nothing else (S-15).
"""

from typing import Any

import httpx
import stripe

from services.chassis.operations import Declined, Retryable, Unknown
from services.payments.providers.stripe.objects import public

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def translate(error: stripe.StripeError) -> Declined | Retryable | Unknown:
    """The chassis' error for an SDK's error."""
    status = error.http_status
    words = error.user_message or type(error).__name__
    if isinstance(error, stripe.APIConnectionError):
        if isinstance(error.__cause__, _NEVER_SENT):
            return Retryable(repr(error.__cause__))
        return Unknown(repr(error.__cause__))
    if status == 429:
        return Retryable("429: too many calls")  # decided before the idempotency layer (F-10)
    if status in (401, 403):
        return Retryable(f"{status}: {words}")  # the key is wrong or lacks a right: mended by a person, then sent
    if status == 409 or isinstance(error, stripe.IdempotencyError):
        return Unknown(f"{status}: {words}")  # another try under this key is under way, or was made (F-9)
    if status is None or status >= 500:
        return Unknown(f"{status}: {words}", key_spent=status is not None)  # replayed for ever (F-9)
    code = getattr(error.error, "decline_code", None) or error.code or "declined"
    return Declined(str(code), words, _object_of(error))


def _object_of(error: stripe.StripeError) -> dict[str, Any] | None:
    """The intent that an error shows, as it stands."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    inner = body.get("error")
    intent = inner.get("payment_intent") if isinstance(inner, dict) else None
    return public(intent) if intent else None
