"""Stripe's errors as the three that matter: refused, surely not executed, perhaps executed.

Why: what may be repeated depends on nothing else (S-15).
"""

from typing import Any

import stripe

from services.chassis.http import NeverSent
from services.chassis.operations import Declined, Retryable, Unknown
from services.payments.providers.stripe.objects import public


def translate(error: stripe.StripeError) -> Declined | Retryable | Unknown:
    """The chassis' error for an SDK's error.

    Only an error object is Stripe's word: a body that is none came from something in between, or got spoiled on its
    way from a call that was executed. The SDK's text repeats such a body, secrets and addresses and all (S-5).
    """
    status, stripes_word = error.http_status, error.error is not None
    code = str(getattr(error.error, "decline_code", None) or error.code or "declined") if stripes_word else "unreadable"
    if isinstance(error, stripe.APIConnectionError):
        cause = error.__cause__
        return Retryable(repr(cause)) if isinstance(cause, NeverSent) else Unknown(repr(cause))
    if status == 429:
        return Retryable("429: too many calls")  # decided before the idempotency layer (F-10)
    if status in (401, 403):
        return Retryable(f"{status}: {code}")  # the key is wrong or lacks a right: mended by a person, then sent
    if status == 409 or isinstance(error, stripe.IdempotencyError):
        return Unknown(f"{status}: {code}")  # another try under this key is under way, or was made (F-9)
    if not stripes_word or status is None or status == 408 or not 400 <= status < 500:
        return Unknown(f"{status}: {code}", key_spent=stripes_word and (status or 0) >= 500)  # replayed for ever (F-9)
    return Declined(code, error.user_message or code, _object_of(error))


def is_not_found(error: stripe.StripeError) -> bool:
    """Whether Stripe says that there is no such object; a proxy's 404 says nothing."""
    return error.http_status == 404 and error.error is not None


def _object_of(error: stripe.StripeError) -> dict[str, Any] | None:
    """The intent that an error shows, as it stands."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    inner = body.get("error")
    intent = inner.get("payment_intent") if isinstance(inner, dict) else None
    return public(intent) if intent else None
