"""Stripe's test payment methods and card numbers: what each does is the vendor's own list, kept as one table."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["succeed", "decline", "action", "process"]

DECLINE_TEXT = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "lost_card": "Your card was declined.",
    "stolen_card": "Your card was declined.",
    "fraudulent": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
# Declines whose error code is their own; the others are `card_declined` with the reason as decline_code.
_OWN_CODE = frozenset({"expired_card", "incorrect_cvc", "processing_error"})


@dataclass(frozen=True)
class Method:
    """What happens when one pays with it; `settles` is the end of an async method, `refund` of a later refund."""

    outcome: Outcome
    kind: Literal["card", "us_bank_account"] = "card"
    brand: str = "visa"
    last4: str = "4242"
    decline: str = "generic_decline"
    settles: bool = True
    refund: Literal["succeeded", "fails", "pending"] = "succeeded"
    disputed: bool = False


METHODS: dict[str, Method] = {
    "pm_card_visa": Method("succeed"),
    "pm_card_mastercard": Method("succeed", brand="mastercard", last4="4444"),
    "pm_card_amex": Method("succeed", brand="amex", last4="8431"),
    "pm_card_chargeDeclined": Method("decline", last4="0002"),
    "pm_card_visa_chargeDeclined": Method("decline", last4="0002"),
    "pm_card_chargeDeclinedInsufficientFunds": Method("decline", last4="9995", decline="insufficient_funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Method("decline", last4="9995", decline="insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": Method("decline", last4="9987", decline="lost_card"),
    "pm_card_chargeDeclinedStolenCard": Method("decline", last4="9979", decline="stolen_card"),
    "pm_card_chargeDeclinedFraudulent": Method("decline", last4="0019", decline="fraudulent"),
    "pm_card_chargeDeclinedExpiredCard": Method("decline", last4="0069", decline="expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": Method("decline", last4="0127", decline="incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": Method("decline", last4="0119", decline="processing_error"),
    "pm_card_authenticationRequired": Method("action", last4="3184"),
    "pm_card_threeDSecure2Required": Method("action", last4="3220"),
    "pm_card_threeDSecureRequired": Method("action", last4="3063"),
    "pm_card_refundFail": Method("succeed", last4="5126", refund="fails"),
    "pm_card_pendingRefund": Method("succeed", last4="7726", refund="pending"),
    "pm_card_createDispute": Method("succeed", last4="0259", disputed=True),
    "pm_usBankAccount_success": Method("process", kind="us_bank_account", last4="6789", refund="pending"),
    "pm_usBankAccount": Method("process", kind="us_bank_account", last4="6789", refund="pending"),
    "pm_usBankAccount_insufficientFunds": Method(
        "process", kind="us_bank_account", last4="2222", decline="insufficient_funds", settles=False
    ),
    "pm_usBankAccount_processing": Method("process", kind="us_bank_account", last4="0000"),
}

# What a person types into the hosted page.
NUMBERS: dict[str, str] = {
    "4242424242424242": "pm_card_visa",
    "5555555555554444": "pm_card_mastercard",
    "4000000000000002": "pm_card_chargeDeclined",
    "4000000000009995": "pm_card_chargeDeclinedInsufficientFunds",
    "4000000000000069": "pm_card_chargeDeclinedExpiredCard",
    "4000000000000127": "pm_card_chargeDeclinedIncorrectCvc",
    "4000000000000119": "pm_card_chargeDeclinedProcessingError",
    "4000000000003220": "pm_card_threeDSecure2Required",
    "4000002500003155": "pm_card_authenticationRequired",
    "4000000000005126": "pm_card_refundFail",
    "4000000000007726": "pm_card_pendingRefund",
    "4000000000000259": "pm_card_createDispute",
}


def decline_code(reason: str) -> str:
    """The error's `code` for a decline reason."""
    return reason if reason in _OWN_CODE else "card_declined"


def decline_text(reason: str) -> str:
    """The error's message for a decline reason."""
    return DECLINE_TEXT.get(reason, "Your card was declined.")
