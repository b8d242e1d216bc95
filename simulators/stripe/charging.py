"""Charging an intent: the one place where its money moves, so that API, customer and time cannot differ."""

from functools import partial

from ..shared.faults import MONEY, ApiFault
from ..shared.ids import token
from . import disputes
from .account import Account
from .errors import card_declined, parameter_invalid
from .methods import Method
from .objects import Object, charge, payment_error

LAPSE_SECONDS = 7 * 86_400
ACTION_FAILED = "payment_intent_authentication_failure"


def attempt(account: Account, intent: Object, method_id: str, return_url: str | None) -> None:
    """Charge with a method; raises the decline as a 402 after the intent has fallen back (F-9 keeps that answer)."""
    method = account.method(method_id)
    method = _twisted(method, _fault(account, intent))
    intent["last_payment_error"] = None
    intent["next_action"] = None
    intent["payment_method"] = method_id
    intent["payment_method_types"] = sorted({*intent["payment_method_types"], method.kind})
    if method.outcome == "action":
        _require_action(account, intent, return_url)
    elif method.outcome == "process":
        _process(account, intent, method_id, method)
    elif method.outcome == "decline":
        _decline(account, intent, method_id, method)
        raise card_declined(intent, intent["last_payment_error"])
    else:
        _approve(account, intent, method_id, method)


def authenticate(account: Account, intent: Object, succeed: bool) -> None:
    """The customer passes or fails 3-D Secure."""
    _expect(intent, "requires_action")
    method_id = intent["payment_method"]
    intent["next_action"] = None
    if succeed:
        _approve(account, intent, method_id, account.method(method_id))
        return
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    intent["last_payment_error"] = {
        "code": ACTION_FAILED,
        "doc_url": "https://docs.stripe.com/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication. Provide another one to try again.",
        "type": "invalid_request_error",
    }
    account.emit("payment_intent.payment_failed", intent)
    account.intent_changed(intent)


def settle(account: Account, intent: Object, succeed: bool) -> None:
    """An asynchronous payment ends."""
    _expect(intent, "processing")
    row = account.charges.rows[intent["latest_charge"]]
    method = account.method(intent["payment_method"])
    intent["processing"] = None
    if succeed:
        row.update(status="succeeded", paid=True, captured=True, amount_captured=intent["amount"])
        _receive(account, intent, row, method, intent["amount"])
        return
    row.update(status="failed", failure_code="payment_method_customer_decline", failure_message="The bank refused.")
    intent["last_payment_error"] = payment_error(method, intent["payment_method"], row["id"], account.now())
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    account.emit("charge.failed", row)
    account.emit("payment_intent.payment_failed", intent)
    account.intent_changed(intent)


def capture(account: Account, intent: Object, amount: int) -> None:
    """Take `amount` of what is authorised and release the rest."""
    row = account.charges.rows[intent["latest_charge"]]
    rest = intent["amount_capturable"] - amount
    intent["amount_capturable"] = 0
    row.update(captured=True, amount_captured=amount, balance_transaction="txn_3" + token())
    if rest:
        account.move("released", intent, row["id"], rest)
    account.emit("charge.captured", row)
    _receive(account, intent, row, account.method(intent["payment_method"]), amount, announced=True)


def cancel(account: Account, intent: Object, reason: str | None) -> None:
    """End an unpaid intent; an authorisation is released."""
    if intent["status"] == "requires_capture":
        account.move("released", intent, intent["latest_charge"], intent["amount_capturable"])
    intent.update(
        status="canceled", canceled_at=account.now(), cancellation_reason=reason, amount_capturable=0, next_action=None
    )
    account.emit("payment_intent.canceled", intent)
    account.intent_changed(intent)


def lapse(account: Account, intent: Object) -> None:
    """An authorisation that nobody captured within 7 days ends by itself (F-7)."""
    if intent["status"] != "requires_capture":
        return
    account.emit("charge.expired", account.charges.rows[intent["latest_charge"]])
    cancel(account, intent, "automatic")


def _fault(account: Account, intent: Object) -> ApiFault | None:
    """The scripted fault of this attempt: a session's payment answers to two names."""
    owner = account.owner(intent)
    fault = account.faults.take_api("stripe", "payment_intents.confirm", owner, MONEY)
    if fault is None and intent["id"] in account.session_of:
        fault = account.faults.take_api("stripe", "checkout.sessions.pay", owner, MONEY)
    return fault


def _twisted(method: Method, fault: ApiFault | None) -> Method:
    """What the method does when a scripted fault changes its mind."""
    if fault is None:
        return method
    if fault.kind == "decline":
        return Method("decline", method.kind, method.brand, method.last4, decline=fault.code)
    if fault.kind == "require_action":
        return Method("action", method.kind, method.brand, method.last4)
    return Method("process", method.kind, method.brand, method.last4, settles=fault.code != "fails")


def _require_action(account: Account, intent: Object, return_url: str | None) -> None:
    intent["status"] = "requires_action"
    if return_url:
        hosted = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent['id']}"
        intent["next_action"] = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": hosted},
        }
    else:
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    account.emit("payment_intent.requires_action", intent)
    account.intent_changed(intent)


def _process(account: Account, intent: Object, method_id: str, method: Method) -> None:
    row = charge(intent, method_id, method, account.now(), "pending")
    account.charges.add(row)
    intent.update(status="processing", latest_charge=row["id"])
    account.emit("charge.pending", row)
    account.emit("payment_intent.processing", intent)
    account.intent_changed(intent)
    if account.settings.auto:
        account.agenda.after(account.settings.auto_settle_seconds, partial(settle, account, intent, method.settles))


def _decline(account: Account, intent: Object, method_id: str, method: Method) -> None:
    row = charge(intent, method_id, method, account.now(), "failed")
    account.charges.add(row)
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        latest_charge=row["id"],
        last_payment_error=payment_error(method, method_id, row["id"], account.now()),
    )
    account.emit("charge.failed", row)
    account.emit("payment_intent.payment_failed", intent)
    account.intent_changed(intent)


def _approve(account: Account, intent: Object, method_id: str, method: Method) -> None:
    row = charge(intent, method_id, method, account.now(), "succeeded")
    account.charges.add(row)
    intent["latest_charge"] = row["id"]
    account.move("authorized", intent, row["id"], intent["amount"])
    if intent["capture_method"] != "manual":
        row.update(captured=True, amount_captured=intent["amount"], balance_transaction="txn_3" + token())
        _receive(account, intent, row, method, intent["amount"])
        return
    intent.update(status="requires_capture", amount_capturable=intent["amount"])
    account.emit("charge.succeeded", row)
    account.emit("payment_intent.amount_capturable_updated", intent)
    account.intent_changed(intent)
    account.agenda.after(LAPSE_SECONDS, partial(lapse, account, intent))


def _receive(
    account: Account, intent: Object, row: Object, method: Method, amount: int, *, announced: bool = False
) -> None:
    """The money is the merchant's."""
    intent.update(status="succeeded", amount_received=amount)
    account.move("captured", intent, row["id"], amount)
    if not announced:
        account.emit("charge.succeeded", row)
    account.emit("payment_intent.succeeded", intent)
    account.intent_changed(intent)
    if method.disputed:
        disputes.open_dispute(account, row, None, "fraudulent")


def _expect(intent: Object, status: str) -> None:
    if intent["status"] != status:
        raise parameter_invalid("intent", f"The PaymentIntent is {intent['status']}, not {status}.")
