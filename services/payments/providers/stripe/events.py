"""Stripe's webhook events: which types have an effect, and what they say (R-1.7, R-1.8).

Why: one table answers "what does this event do"; every other type is stored, counted and has no effect.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from services.payments.domain import Fact
from services.payments.providers.base import Malformed, ProviderEvent
from services.payments.providers.stripe import objects
from services.payments.providers.stripe.objects import Object, identity, moment, order_of, text


def _failed(row: Object, at: datetime) -> Fact:
    return objects.intent(row, at, failed=True)


def _async_failed(row: Object, at: datetime) -> Fact:
    return objects.session(row, at, async_failed=True)


# Type -> (kind of object, how it is read).
READERS: Final[Mapping[str, tuple[str, Callable[[Object, datetime], Fact]]]] = {
    "payment_intent.created": ("payment_intent", objects.intent),
    "payment_intent.requires_action": ("payment_intent", objects.intent),
    "payment_intent.processing": ("payment_intent", objects.intent),
    "payment_intent.amount_capturable_updated": ("payment_intent", objects.intent),
    "payment_intent.succeeded": ("payment_intent", objects.intent),
    "payment_intent.payment_failed": ("payment_intent", _failed),
    "payment_intent.canceled": ("payment_intent", objects.intent),
    "checkout.session.completed": ("checkout.session", objects.session),
    "checkout.session.async_payment_succeeded": ("checkout.session", objects.session),
    "checkout.session.async_payment_failed": ("checkout.session", _async_failed),
    "checkout.session.expired": ("checkout.session", objects.session),
    "charge.refunded": ("charge", objects.charge_refunded),
    "charge.refund.updated": ("refund", objects.refund),
    "refund.created": ("refund", objects.refund),
    "refund.updated": ("refund", objects.refund),
    "refund.failed": ("refund", objects.refund),
    "charge.dispute.created": ("dispute", objects.dispute),
    "charge.dispute.updated": ("dispute", objects.dispute),
    "charge.dispute.closed": ("dispute", objects.dispute),
    "charge.dispute.funds_withdrawn": ("dispute", objects.dispute),
    "charge.dispute.funds_reinstated": ("dispute", objects.dispute),
}


def read_event(body: bytes) -> ProviderEvent:
    """Translate a webhook's body. Raises Malformed for what is no Stripe event at all."""
    event = _parse(body)
    event_id, kind = event["id"], event["type"]
    reader = READERS.get(kind)
    if reader is None:
        return ProviderEvent(event_id, kind)
    expected, read = reader
    row = event["data"].get("object") if isinstance(event["data"], dict) else None
    if not isinstance(row, dict) or row.get("object") != expected:
        return ProviderEvent(event_id, kind, known=True, broken=f"no {expected} in the event")
    try:
        fact = read(row, moment(event["created"]))
        ids = _ids_of(row)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return ProviderEvent(event_id, kind, known=True, broken=f"{expected}: {error!r}")
    return ProviderEvent(event_id, kind, order_of(row), ids, (fact,), known=True)


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        event = _loaded(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    if not isinstance(event, dict) or event.get("object", "event") != "event":
        raise Malformed("no event")
    for field in ("id", "type"):
        value = event.get(field)
        if not isinstance(value, str) or not 0 < len(value) <= 255 or text(value) != value:
            raise Malformed(f"no {field}")
    if "data" not in event or not isinstance(event.get("created"), int):
        raise Malformed("no data or no time")
    return event


def _loaded(body: bytes) -> Any:
    """The fast parser refuses what the other takes, such as half of a surrogate pair in a customer's words."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def _ids_of(row: Object) -> tuple[str, ...]:
    """Every id by which the order may be known."""
    found = (identity(row.get(key)) for key in ("id", "payment_intent", "charge", "latest_charge"))
    return tuple(dict.fromkeys(i for i in found if i and not i.isspace() and " " not in i))
