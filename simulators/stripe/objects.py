"""The JSON of Stripe's objects at 2026-10-28.endive, nulls included: the SDK's types read every field."""

from typing import Any

from ..shared.ids import token
from .methods import Method, decline_code, decline_text

API_VERSION = "2026-10-28.endive"
Object = dict[str, Any]


def payment_intent(amount: int, currency: str, created: int, capture_method: str, metadata: dict[str, str]) -> Object:
    """A new PaymentIntent that waits for a payment method."""
    identifier = "pi_3" + token()
    return {
        "id": identifier,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": capture_method,
        "client_secret": f"{identifier}_secret_{token(25)}",
        "confirmation_method": "automatic",
        "created": created,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(intent: Object, method_id: str, method: Method, created: int, status: str) -> Object:
    """One attempt at charging an intent; `captured` and amounts are set by what follows."""
    identifier = "ch_3" + token()
    declined = status == "failed"
    return {
        "id": identifier,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": None,
            "email": intent["receipt_email"],
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "ONEFOLD",
        "captured": False,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline_code(method.decline) if declined else None,
        "failure_message": decline_text(method.decline) if declined else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": _outcome(method, status),
        "paid": status == "succeeded",
        "payment_intent": intent["id"],
        "payment_method": method_id,
        "payment_method_details": _method_details(method),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }


def refund(of: Object, amount: int, created: int, status: str, reason: str | None, metadata: dict[str, str]) -> Object:
    """A refund of a charge."""
    return {
        "id": "re_3" + token(),
        "object": "refund",
        "amount": amount,
        "balance_transaction": "txn_3" + token(),
        "charge": of["id"],
        "created": created,
        "currency": of["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": metadata,
        "payment_intent": of["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def dispute(of: Object, amount: int, created: int, reason: str) -> Object:
    """A dispute of a charge; its money is withdrawn as it opens."""
    return {
        "id": "du_1" + token(),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": of["id"],
        "created": created,
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + 7 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "83"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def event(type_: str, created: int, request: Object, pending_webhooks: int) -> Object:
    """The envelope of an event, without its `data` (F-4: `api_version` is frozen in it)."""
    return {
        "id": "evt_1" + token(),
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "livemode": False,
        "pending_webhooks": pending_webhooks,
        "request": request,
        "type": type_,
    }


def payment_error(method: Method, method_id: str, charge_id: str | None, created: int) -> Object:
    """`last_payment_error`, and the heart of a 402 body."""
    code = decline_code(method.decline)
    return {
        "charge": charge_id,
        "code": code,
        "decline_code": method.decline,
        "doc_url": f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}",
        "message": decline_text(method.decline),
        "payment_method": payment_method(method_id, method, created),
        "type": "card_error",
    }


def payment_method(identifier: str, method: Method, created: int) -> Object:
    """A payment method as it is embedded in errors."""
    details = {key: value for key, value in _method_details(method)[method.kind].items() if key != "network"}
    return {
        "id": identifier,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        method.kind: details,
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": method.kind,
    }


def page(url: str, data: list[Object], has_more: bool) -> Object:
    """One page of a list."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _outcome(method: Method, status: str) -> Object:
    declined = status == "failed"
    return {
        "advice_code": "try_again_later" if declined else None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": method.decline if declined else None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "The bank declined the payment." if declined else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def _method_details(method: Method) -> Object:
    if method.kind == "us_bank_account":
        bank = {"account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK"}
        return {
            "type": "us_bank_account",
            "us_bank_account": {**bank, "last4": method.last4, "routing_number": "110000000"},
        }
    card = {"brand": method.brand, "country": "US", "exp_month": 12, "exp_year": 2034, "funding": "credit"}
    return {"type": "card", "card": {**card, "last4": method.last4, "network": method.brand}}
