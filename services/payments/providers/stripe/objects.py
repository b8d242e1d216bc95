"""Stripe's objects as facts of the domain.

Why: an intent means the same whether a webhook, an answer or a look-up shows it.
"""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from services.payments.domain import (
    AttemptSeen,
    AttemptState,
    ChargeRefunded,
    DisputeSeen,
    DisputeState,
    End,
    RefundSeen,
    RefundState,
)
from services.payments.providers.stripe.money import from_stripe

Object = Mapping[str, Any]

_INTENT_STATES: Final = {
    "requires_payment_method": AttemptState.PAYABLE,
    "requires_confirmation": AttemptState.PAYABLE,
    "requires_action": AttemptState.REQUIRES_ACTION,
    "processing": AttemptState.PROCESSING,
    "requires_capture": AttemptState.AUTHORIZED,
    "succeeded": AttemptState.SUCCEEDED,
    "canceled": AttemptState.CANCELED,
}
_ORDER_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")  # as we write it
_LAPSED: Final = ("automatic", "expired")
_REFUND_STATES: Final = {
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
_DISPUTE_STATES: Final = {
    "won": DisputeState.WON,
    "warning_closed": DisputeState.WON,
    "prevented": DisputeState.WON,
    "lost": DisputeState.LOST,
}
_NOTHING_WITHDRAWN: Final = ("warning_needs_response", "warning_under_review", "warning_closed", "prevented")

# What an answer is kept for: ids, states and amounts; no secrets, names or addresses (S-5).
_KEPT: Final = (
    "id",
    "object",
    "status",
    "payment_status",
    "amount",
    "amount_received",
    "amount_capturable",
    "amount_total",
    "currency",
    "created",
    "metadata",
    "client_reference_id",
    "latest_charge",
    "last_payment_error",
    "cancellation_reason",
    "payment_method_types",
    "charge",
    "failure_reason",
    "payment_intent",
)
_KEPT_OF_ERROR: Final = ("type", "code", "decline_code", "message")


def moment(seconds: int) -> datetime:
    """Stripe's time: whole seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def text(value: object) -> str:
    """A text without NUL and halves of surrogate pairs, which PostgreSQL cannot keep (F-32)."""
    return str(value).replace("\x00", "").encode(errors="replace").decode() if value is not None else ""


def identity(value: object) -> str:
    """The id of an object that may be expanded."""
    return text(value.get("id") if isinstance(value, dict) else value)


def order_of(row: Object) -> str:
    """The order that the metadata or the session's reference names; empty if that is no order id."""
    for candidate in (_metadata(row).get("order_id"), row.get("client_reference_id")):
        if isinstance(candidate, str):
            if _ORDER_ID.fullmatch(candidate):
                return candidate
            with contextlib.suppress(ValueError):
                return str(UUID(candidate))
    return ""


def intent(row: Object, at: datetime, *, failed: bool = False, asked: bool = False) -> AttemptSeen:
    """A PaymentIntent. `failed`: the fact is the customer's failure. Raises KeyError for what is no intent."""
    state = _INTENT_STATES[row["status"]]
    error = row.get("last_payment_error") or {}
    charge = row.get("latest_charge")
    received = from_stripe(int(row.get("amount_received") or 0), row["currency"])
    held = from_stripe(int(row.get("amount_capturable") or 0), row["currency"])
    return AttemptSeen(
        occurred_at=at,
        state=state,
        payment_id=identity(row["id"]),
        attempt_id=text(_metadata(row).get("attempt_id")),
        currency=received.currency,
        captured_minor=received.amount_minor if state is AttemptState.SUCCEEDED else 0,
        authorized_minor=held.amount_minor if state is AttemptState.AUTHORIZED else 0,
        charge_id=identity(charge),
        method=_method(row, charge),
        end=_end(row) if state is AttemptState.CANCELED else End.NONE,
        failed=failed,
        failure_code=text(error.get("decline_code") or error.get("code") or error.get("type")),
        failure_message=text(error.get("message")),
        asked=asked,
    )


def session(row: Object, at: datetime, *, async_failed: bool = False, asked: bool = False) -> AttemptSeen:
    """A Checkout Session: paid by its `payment_status`, never by its `status` (F-6)."""
    paid = row["payment_status"] in ("paid", "no_payment_required")
    of = row.get("payment_intent")
    inner = intent(of, at, asked=asked) if isinstance(of, dict) else None
    total = from_stripe(int(row.get("amount_total") or 0), row.get("currency") or "")
    end = End.NONE
    if paid and row["status"] == "complete":
        state = AttemptState.SUCCEEDED
    elif row["status"] == "expired":
        state, end = AttemptState.CANCELED, End.CANCELED
    elif row["status"] == "complete":
        state = inner.state if inner else AttemptState.PROCESSING
        if async_failed or state is AttemptState.PAYABLE:
            state, end = AttemptState.CANCELED, End.FAILED  # complete, unpaid and not payable again
        elif state is AttemptState.CANCELED and inner:
            end = inner.end
    else:
        state = inner.state if inner and inner.state is AttemptState.REQUIRES_ACTION else AttemptState.PAYABLE
    captured = total.amount_minor if state is AttemptState.SUCCEEDED and row["payment_status"] == "paid" else 0
    return AttemptSeen(
        occurred_at=at,
        state=state,
        session_id=identity(row["id"]),
        payment_id=identity(of),
        attempt_id=text(_metadata(row).get("attempt_id")),
        currency=total.currency,
        captured_minor=captured,
        authorized_minor=inner.authorized_minor if inner else 0,
        charge_id=inner.charge_id if inner else "",
        method=inner.method if inner else _method(row, None),
        end=end,
        failure_code=inner.failure_code if inner else "",
        failure_message=inner.failure_message if inner else "",
        asked=asked,
    )


def refund(row: Object, at: datetime) -> RefundSeen:
    """A Refund; all that is neither over nor failed is pending."""
    return RefundSeen(
        occurred_at=at,
        provider_refund_id=identity(row["id"]),
        payment_id=identity(row.get("payment_intent")) or identity(row["charge"]),
        amount=from_stripe(int(row["amount"]), row["currency"]),
        state=_REFUND_STATES.get(text(row.get("status")), RefundState.PENDING),
        our_id=text(_metadata(row).get("refund")),
        code=text(row.get("failure_reason")),
        reason=text(row.get("failure_reason")),
    )


def charge_refunded(row: Object, at: datetime) -> ChargeRefunded:
    """A Charge's total of refunds; its flag `refunded` is false on partial ones (F-8)."""
    total = from_stripe(int(row["amount_refunded"]), row["currency"])
    return ChargeRefunded(at, identity(row.get("payment_intent")) or identity(row["id"]), total)


def dispute(row: Object, at: datetime) -> DisputeSeen:
    """A Dispute; of an inquiry nothing was withdrawn yet."""
    return DisputeSeen(
        occurred_at=at,
        dispute_id=identity(row["id"]),
        payment_id=identity(row.get("payment_intent")) or identity(row["charge"]),
        amount=from_stripe(int(row["amount"]), row["currency"]),
        state=_DISPUTE_STATES.get(row["status"], DisputeState.OPEN),
        withdrawn=row["status"] not in _NOTHING_WITHDRAWN,
    )


def public(row: Object) -> dict[str, Any]:
    """What is kept of an object."""
    kept = {key: value for key, value in row.items() if key in _KEPT}
    if isinstance(error := kept.get("last_payment_error"), dict):
        kept["last_payment_error"] = {key: error.get(key) for key in _KEPT_OF_ERROR}
    if isinstance(inner := kept.get("payment_intent"), dict):
        kept["payment_intent"] = public(inner)
    return kept


def _metadata(row: Object) -> Mapping[str, Any]:
    metadata = row.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _method(row: Object, charge: object) -> str:
    if isinstance(charge, dict) and isinstance(charge.get("payment_method_details"), dict):
        return text(charge["payment_method_details"].get("type"))
    types = row.get("payment_method_types")
    return text(types[0]) if isinstance(types, list) and len(types) == 1 else ""


def _end(row: Object) -> End:
    return End.LAPSED if row.get("cancellation_reason") in _LAPSED else End.CANCELED
