"""Amounts as Stripe takes them: ISO 4217 minor units, but for a few currencies (F-12).

Why: no float touches money, and an amount that Stripe would refuse is refused before anything is written (R-1.20).
"""

from typing import Final

from services.chassis.money import decimals
from services.payments.domain import Money
from services.payments.providers.base import NotPayable

LARGEST: Final = 99_999_999  # eight digits (F-12)
_FACTORS: Final = {"ISK": 100}  # no minor unit since 2007, but Stripe still counts two decimals (F-12)


def to_stripe(money: Money) -> dict[str, object]:
    """`amount` and `currency` of a call."""
    return {"amount": units(money), "currency": money.currency.lower()}


def units(money: Money) -> int:
    """Stripe's integer for the amount."""
    return money.amount_minor * _FACTORS.get(money.currency, 1)


def from_stripe(amount: int, currency: str) -> Money:
    """Our amount from Stripe's."""
    code = currency.upper()
    return Money(amount // _FACTORS.get(code, 1), code)


def check(amount_minor: int, currency: str) -> None:
    """Raises NotPayable for an amount that Stripe cannot take."""
    if amount_minor < 1:
        raise NotPayable("the amount must be at least 1")
    if units(Money(amount_minor, currency)) > LARGEST:
        raise NotPayable("the amount has more than eight digits")
    if decimals(currency) == 3 and amount_minor % 10:  # three decimals go in multiples of ten (F-12)
        raise NotPayable(f"amounts in {currency} must be multiples of ten")
