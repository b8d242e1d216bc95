"""Parameters of Stripe's calls, exactly as they are stored and sent.

Why: a retry under the same key must send the same bytes (F-9), so nothing here depends on anything but its arguments.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from services.payments.domain import Flow, Kind, OperationPlan
from services.payments.providers.base import Checkout
from services.payments.providers.stripe.money import to_stripe, units

# F-56: a session lives 30 minutes to 24 hours from its creation; the margin is for a call that is sent late.
SHORTEST: Final = timedelta(minutes=35)
LONGEST: Final = timedelta(hours=23, minutes=30)


def parameters(plan: OperationPlan, checkout: Checkout, now: datetime, public_origin: str) -> dict[str, Any]:
    """`call` names the SDK's method, `id` its object, `params` are the rest."""
    if plan.kind is Kind.CREATE:
        if plan.flow is Flow.CHECKOUT:
            return _call("checkout.sessions.create", "", _session(plan, checkout, now, public_origin))
        return _call("payment_intents.create", "", _intent(plan, checkout))
    if plan.kind is Kind.CANCEL:
        if plan.object_id.startswith("cs_"):  # F-7: while it is open, its intent cannot be cancelled
            return _call("checkout.sessions.expire", plan.object_id, {})
        return _call("payment_intents.cancel", plan.object_id, {"cancellation_reason": "abandoned"})
    if plan.money is None:
        raise ValueError(f"{plan.kind} without an amount")
    amount = units(plan.money)
    if plan.kind is Kind.CAPTURE:
        return _call("payment_intents.capture", plan.object_id, {"amount_to_capture": amount})
    source = "charge" if plan.object_id.startswith(("ch_", "py_")) else "payment_intent"
    metadata = {"order_id": checkout.order_id, "refund": plan.target_id}
    return _call("refunds.create", "", {source: plan.object_id, "amount": amount, "metadata": metadata})


def _call(name: str, object_id: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"call": name, "id": object_id, "params": params}


def _intent(plan: OperationPlan, checkout: Checkout) -> dict[str, Any]:
    assert plan.money is not None
    return {
        **to_stripe(plan.money),
        "automatic_payment_methods": {"enabled": True},
        "capture_method": "manual" if checkout.manual_capture else "automatic",
        "metadata": _metadata(plan, checkout),
        **_optional("description", _title(checkout)),
        **_optional("receipt_email", checkout.email),
    }


def _session(plan: OperationPlan, checkout: Checkout, now: datetime, public_origin: str) -> dict[str, Any]:
    assert plan.money is not None
    until = max(now + SHORTEST, min(checkout.payable_until or now + LONGEST, now + LONGEST))
    price = {
        "currency": plan.money.currency.lower(),
        "unit_amount": units(plan.money),
        "product_data": {"name": _title(checkout) or "Order"},
    }
    metadata = _metadata(plan, checkout)
    inner = {"metadata": metadata, "capture_method": "manual" if checkout.manual_capture else "automatic"}
    return {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 1}],
        "client_reference_id": checkout.order_id,
        "metadata": metadata,
        "payment_intent_data": inner,
        "expires_at": int(until.timestamp()),
        "success_url": f"{public_origin}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{public_origin}/checkout/cancel",
        **_optional("customer_email", checkout.email),
    }


def _metadata(plan: OperationPlan, checkout: Checkout) -> dict[str, str]:
    """Our ids only, by which an answer that got lost is found again (F-11)."""
    return {"order_id": checkout.order_id, "attempt_id": plan.target_id}


def _title(checkout: Checkout) -> str:
    return f"Order {checkout.order_number}" if checkout.order_number else ""


def _optional(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}
