"""PaymentIntents: what each API call may do in which state; the money itself moves in `charging`."""

from . import charging, money
from .account import Account, order_of
from .errors import parameter_invalid, rate_limited, refused, unexpected_state
from .forms import Params
from .objects import Object, payment_intent

# F-7: only in these states, and never while an open Checkout session owns it.
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
UPDATES_PER_HOUR = 1_000

_CREATE = frozenset(
    [
        "amount",
        "amount_details",
        "application_fee_amount",
        "allowed_payment_method_types",
        "automatic_payment_methods",
        "capture_method",
        "confirm",
        "confirmation_method",
        "confirmation_token",
        "currency",
        "customer",
        "customer_account",
        "description",
        "error_on_requires_action",
        "excluded_payment_method_types",
        "expand",
        "hooks",
        "mandate",
        "mandate_data",
        "metadata",
        "off_session",
        "on_behalf_of",
        "payment_details",
        "payment_method",
        "payment_method_configuration",
        "payment_method_data",
        "payment_method_options",
        "payment_method_types",
        "radar_options",
        "receipt_email",
        "return_url",
        "setup_future_usage",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
        "transfer_group",
        "use_stripe_sdk",
    ]
)
_UPDATE = _CREATE - {"confirm", "confirmation_method", "off_session", "error_on_requires_action", "return_url"}
_CONFIRM = frozenset(
    [
        "amount_details",
        "capture_method",
        "client_secret",
        "confirmation_token",
        "error_on_requires_action",
        "expand",
        "hooks",
        "mandate",
        "mandate_data",
        "off_session",
        "payment_details",
        "payment_method",
        "payment_method_data",
        "payment_method_options",
        "payment_method_types",
        "radar_options",
        "receipt_email",
        "return_url",
        "setup_future_usage",
        "shipping",
        "use_stripe_sdk",
        "key",
        "expected_payment_method_type",
    ]
)
_CAPTURE = frozenset(
    [
        "amount_details",
        "amount_to_capture",
        "application_fee_amount",
        "expand",
        "final_capture",
        "hooks",
        "metadata",
        "payment_details",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    ]
)
_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_CAPTURE_METHODS = ("automatic", "automatic_async", "manual")


def create(account: Account, params: Params) -> Object:
    """A new intent; with `confirm` it is tried at once, and a decline leaves it behind in requires_payment_method."""
    params.only(_CREATE)
    currency = money.currency(params)
    amount = money.amount(params, "amount", currency)
    metadata = params.metadata()
    capture_method = params.choice("capture_method", _CAPTURE_METHODS, "automatic_async") or "automatic_async"
    intent = payment_intent(amount, currency, account.now(), capture_method, metadata)
    _apply(account, intent, params)
    confirm_now = params.boolean("confirm")
    if confirm_now and intent["payment_method"] is None:
        raise parameter_invalid("confirm", "You must provide a payment method to confirm with confirm=true.")
    account.keep(account.intents, intent, order_of(intent))
    account.emit("payment_intent.created", intent)
    if confirm_now:
        charging.attempt(account, intent, intent["payment_method"], params.text("return_url"))
    return intent


def retrieve(account: Account, identifier: str, params: Params) -> Object:
    """The intent; a customer must know its client secret."""
    params.only({"client_secret", "expand", "key"})
    intent = account.intents.get(identifier, param="intent")
    _check_secret(intent, params)
    return intent


def update(account: Account, identifier: str, params: Params) -> Object:
    """Change an intent that is not ended; metadata may change at any time; 1,000 times an hour (F-11)."""
    params.only(_UPDATE)
    intent = account.intents.get(identifier, param="intent")
    if not account.count_update(intent["id"], UPDATES_PER_HOUR):
        raise rate_limited()
    changes = set(params.values) - {"metadata", "description", "expand", "receipt_email"}
    if changes and intent["status"] not in PAYABLE:
        raise unexpected_state(intent, "update", ", ".join(PAYABLE))
    if "amount" in changes and intent["id"] in account.session_of:
        raise refused("You cannot change the amount of a PaymentIntent that a Checkout Session created.")
    changed = dict(intent)
    if params.given("currency"):
        changed["currency"] = money.currency(params)
    if params.given("amount"):
        changed["amount"] = money.amount(params, "amount", changed["currency"])
    changed["metadata"] = params.metadata(intent["metadata"])
    changed["last_payment_error"] = None
    _apply(account, changed, params)
    intent.update(changed)
    account.assign(account.intents, intent, order_of(intent))
    return intent


def confirm(account: Account, identifier: str, params: Params) -> Object:
    """Try to charge: succeeds, needs capture, needs an action, is processing, or raises the decline as 402."""
    params.only(_CONFIRM)
    intent = account.intents.get(identifier, param="intent")
    _check_secret(intent, params)
    if intent["status"] not in PAYABLE:
        raise unexpected_state(intent, "confirm", ", ".join(PAYABLE))
    method_id = _method_of(account, params) or intent["payment_method"]
    if method_id is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise refused(message, "payment_intent_unexpected_state", payment_intent=dict(intent))
    charging.attempt(account, intent, method_id, params.text("return_url"))
    return intent


def capture(account: Account, identifier: str, params: Params) -> Object:
    """Take an authorised amount or part of it; the rest is released and cannot be captured later."""
    params.only(_CAPTURE)
    intent = account.intents.get(identifier, param="intent")
    if intent["status"] != "requires_capture":
        raise unexpected_state(intent, "capture", "requires_capture")
    wanted = params.integer("amount_to_capture", intent["amount_capturable"]) or 0
    if not 1 <= wanted <= intent["amount_capturable"]:
        message = "The amount_to_capture must be at least 1 and at most the amount_capturable."
        raise parameter_invalid("amount_to_capture", message, "amount_too_large" if wanted > 0 else None)
    intent["metadata"] = params.metadata(intent["metadata"])
    charging.capture(account, intent, wanted)
    return intent


def cancel(account: Account, identifier: str, params: Params) -> Object:
    """End an unpaid intent and release what is authorised (F-7)."""
    params.only({"cancellation_reason", "expand"})
    reason = params.choice("cancellation_reason", _REASONS)
    intent = account.intents.get(identifier, param="intent")
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(intent, "cancel", ", ".join(CANCELABLE))
    session = account.sessions.rows.get(account.session_of.get(intent["id"], ""))
    if session is not None and session["status"] == "open":
        message = (
            "You cannot cancel this PaymentIntent because it was created by a Checkout Session. "
            f"To cancel it, expire the Checkout Session {session['id']} instead."
        )
        raise refused(message, "payment_intent_unexpected_state", payment_intent=dict(intent))
    charging.cancel(account, intent, reason)
    return intent


def _apply(account: Account, intent: Object, params: Params) -> None:
    """Copy the plain fields of create and update."""
    for key in ("customer", "description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix"):
        if params.given(key):
            intent[key] = params.text(key)
    if params.given("setup_future_usage"):
        intent["setup_future_usage"] = params.choice("setup_future_usage", ("on_session", "off_session"))
    if params.given("transfer_group"):
        intent["transfer_group"] = params.text("transfer_group")
    if params.given("shipping"):
        intent["shipping"] = _shipping(params.group("shipping"))
    if params.given("capture_method"):
        intent["capture_method"] = params.choice("capture_method", _CAPTURE_METHODS)
    if params.given("payment_method_types"):
        intent["payment_method_types"] = params.texts("payment_method_types")
        intent["automatic_payment_methods"] = None
    if params.given("automatic_payment_methods"):
        wanted = params.group("automatic_payment_methods")
        redirects = wanted.choice("allow_redirects", ("always", "never"), "always")
        enabled = wanted.boolean("enabled")
        intent["automatic_payment_methods"] = {"allow_redirects": redirects, "enabled": True} if enabled else None
    method_id = _method_of(account, params)
    if method_id is not None:
        intent["payment_method"] = method_id
        intent["status"] = "requires_confirmation"
        intent["next_action"] = None


def _method_of(account: Account, params: Params) -> str | None:
    """The payment method a call names; `payment_method_data` stands for a good card of its type."""
    method_id = params.text("payment_method")
    if method_id is not None:
        account.method(method_id)
        return method_id
    kind = params.group("payment_method_data").text("type")
    if kind is None:
        return None
    return "pm_usBankAccount_success" if kind == "us_bank_account" else "pm_card_visa"


def _shipping(params: Params) -> Object:
    address = params.group("address")
    parts = ("city", "country", "line1", "line2", "postal_code", "state")
    return {
        "address": {part: address.text(part) for part in parts},
        "carrier": params.text("carrier"),
        "name": params.required("name"),
        "phone": params.text("phone"),
        "tracking_number": params.text("tracking_number"),
    }


def _check_secret(intent: Object, params: Params) -> None:
    given = params.text("client_secret")
    if given is not None and given != intent["client_secret"]:
        message = "The client_secret provided does not match any associated PaymentIntent on this account."
        raise parameter_invalid("client_secret", message, "payment_intent_invalid_parameter")
