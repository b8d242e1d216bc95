"""Refunds: made by API, sometimes pending, sometimes failing days later (F-8)."""

from functools import partial

from ..shared.ids import token
from .account import Account, order_of
from .errors import parameter_invalid, refused
from .forms import Params
from .money import THREE_DECIMAL, shown
from .objects import Object, refund

_CREATE = frozenset(
    [
        "amount",
        "charge",
        "currency",
        "customer",
        "expand",
        "instructions_email",
        "metadata",
        "origin",
        "payment_intent",
        "reason",
        "refund_application_fee",
        "reverse_transfer",
    ]
)
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(account: Account, params: Params) -> Object:
    """Give money back: all that is left of the charge, or `amount`."""
    params.only(_CREATE)
    charge = _charge_of(account, params)
    intent = account.intents.rows[charge["payment_intent"]]
    left = charge["amount_captured"] - charge["amount_refunded"]
    wanted = params.integer("amount", left) or 0
    reason = params.choice("reason", _REASONS)
    metadata = params.metadata()
    if charge["disputed"] and _dispute_blocks(account, charge):
        raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", "charge_disputed")
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if wanted < 1:
        raise parameter_invalid("amount", "Invalid positive integer", "parameter_invalid_integer")
    if charge["currency"] in THREE_DECIMAL and wanted % 10:
        raise parameter_invalid("amount", f"Amounts in {charge['currency']} must be multiples of ten.")
    if wanted > left:
        asked, there = shown(wanted, charge["currency"]), shown(left, charge["currency"])
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({there})"
        raise refused(message, "amount_too_large", param="amount")
    behaviour = account.method(charge["payment_method"]).refund
    status = "pending" if behaviour == "pending" else "succeeded"
    row = refund(charge, wanted, account.now(), status, reason, metadata)
    account.keep(account.refunds, row, order_of(row) or account.owner(intent))
    _count(charge, wanted)
    account.move("refunded", intent, row["id"], wanted)
    account.emit("refund.created", row)
    account.emit("charge.refunded", charge)
    if behaviour == "fails":
        account.agenda.after(
            account.settings.auto_settle_seconds, partial(fail, account, row, "expired_or_canceled_card")
        )
    elif behaviour == "pending" and account.settings.auto:
        account.agenda.after(account.settings.auto_settle_seconds, partial(settle, account, row))
    return row


def update(account: Account, identifier: str, params: Params) -> Object:
    """Only metadata can change."""
    params.only({"metadata", "expand"})
    row = account.refunds.get(identifier)
    row["metadata"] = params.metadata(row["metadata"])
    _announce(account, row)
    return row


def settle(account: Account, row: Object) -> Object:
    """A pending refund arrives at the customer."""
    if row["status"] != "pending":
        raise parameter_invalid("refund", f"The refund is {row['status']}, not pending.")
    row["status"] = "succeeded"
    _announce(account, row)
    return row


def fail(account: Account, row: Object, reason: str) -> Object:
    """A refund comes back, pending or days after it succeeded: the money is the merchant's again (F-8)."""
    if row["status"] not in ("pending", "succeeded"):
        raise parameter_invalid("refund", f"The refund is already {row['status']}.")
    charge = account.charges.rows[row["charge"]]
    intent = account.intents.rows[row["payment_intent"]]
    row.update(status="failed", failure_reason=reason, failure_balance_transaction="txn_3" + token())
    _count(charge, -row["amount"])
    account.move("refund_failed", intent, row["id"], row["amount"])
    _announce(account, row)
    account.emit("refund.failed", row)
    return row


def _announce(account: Account, row: Object) -> None:
    account.emit("refund.updated", row)
    account.emit("charge.refund.updated", row)


def _count(charge: Object, amount: int) -> None:
    """`refunded` is true only when everything is given back (F-8)."""
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount_captured"]


def _charge_of(account: Account, params: Params) -> Object:
    intent_id = params.text("payment_intent")
    charge_id = params.text("charge")
    if (intent_id is None) == (charge_id is None):
        raise parameter_invalid("charge", "You must provide exactly one of charge and payment_intent.")
    if intent_id is not None:
        intent = account.intents.get(intent_id, param="payment_intent", status=400)
        charge_id = intent["latest_charge"]
        if intent["status"] != "succeeded" or charge_id is None:
            message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            raise refused(message, "charge_not_refundable", param="payment_intent")
    charge = account.charges.get(charge_id or "", param="charge", status=400)
    if not charge["captured"]:
        raise refused(f"Charge {charge['id']} is not captured; cancel its PaymentIntent.", "charge_not_refundable")
    return charge


def _dispute_blocks(account: Account, charge: Object) -> bool:
    return any(row["charge"] == charge["id"] and row["status"] != "won" for row in account.disputes.rows.values())
