"""Disputes: the bank takes the money back at once and, when the merchant wins, returns it."""

from typing import Literal

from .account import Account
from .errors import parameter_invalid
from .objects import Object, dispute

OPEN = ("needs_response", "under_review")


def open_dispute(account: Account, charge: Object, amount: int | None, reason: str) -> Object:
    """A cardholder disputes a charge; the money is withdrawn."""
    intent = account.intents.rows[charge["payment_intent"]]
    disputable = charge["amount_captured"] - charge["amount_refunded"]
    wanted = disputable if amount is None else amount
    if not charge["captured"] or not 1 <= wanted <= disputable or charge["disputed"]:
        raise parameter_invalid("amount", "Only captured money that is neither refunded nor disputed can be disputed.")
    row = dispute(charge, wanted, account.now(), reason)
    account.keep(account.disputes, row, account.owner(intent))
    charge["disputed"] = True
    account.move("dispute_withdrawn", intent, row["id"], wanted)
    account.emit("charge.dispute.created", row)
    account.emit("charge.dispute.funds_withdrawn", row)
    return row


def close_dispute(account: Account, row: Object, won: bool) -> Object:
    """The bank decides; won money comes back."""
    if row["status"] not in OPEN:
        raise parameter_invalid("dispute", f"The dispute is already {row['status']}.")
    status: Literal["won", "lost"] = "won" if won else "lost"
    row["status"] = status
    if won:
        intent = account.intents.rows[row["payment_intent"]]
        account.move("dispute_reinstated", intent, row["id"], row["amount"])
        account.emit("charge.dispute.funds_reinstated", row)
    account.emit("charge.dispute.closed", row)
    return row
