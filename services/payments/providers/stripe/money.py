"""Amounts as Stripe counts them, from and to ISO 4217 minor units (F-12).

Why: no float touches money, and an amount that Stripe would refuse is refused before anything is written (R-1.20).
"""

from functools import lru_cache
from typing import Final

from services.chassis.money import decimals
from services.payments.domain import Money
from services.payments.providers.base import NotPayable

LARGEST: Final = 99_999_999  # eight digits (F-12)
# Stripe's own decimals, after docs.stripe.com/currencies ("Zero-decimal currencies", "Special cases"): ISO 4217 is not
# asked. ISK and UGX have no minor unit any more, but their amounts still go with two decimals, which must be 00.
_NONE: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE: Final = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


def to_stripe(money: Money) -> dict[str, object]:
    """`amount` and `currency` of a call."""
    return {"amount": units(money), "currency": money.currency.lower()}


def units(money: Money) -> int:
    """Stripe's integer for the amount. Raises NotPayable for a fraction that Stripe has no unit for."""
    ours, stripes = decimals(money.currency), exponent(money.currency)
    amount, rest = divmod(money.amount_minor * _ten_to(stripes), _ten_to(ours))
    if rest:
        raise NotPayable(f"amounts in {money.currency} must be multiples of {_ten_to(ours - stripes)}")
    return amount


def from_stripe(amount: int, currency: str) -> Money:
    """Our amount from Stripe's."""
    code = currency.upper()
    ours, stripes = _factors(code)
    return Money(amount * ours // stripes, code)


def exponent(currency: str) -> int:
    """Decimals that Stripe counts in the currency (F-12)."""
    return 0 if currency in _NONE else 3 if currency in _THREE else 2


def unit_of(currency: str) -> int:
    """What every amount must be a multiple of, in our minor units: three decimals go in tens (F-12)."""
    return 10 if exponent(currency) == 3 else _ten_to(max(0, decimals(currency) - exponent(currency)))


def check(amount_minor: int, currency: str) -> None:
    """Raises NotPayable for an amount that Stripe cannot take."""
    if amount_minor < 1:
        raise NotPayable("the amount must be at least 1")
    if units(Money(amount_minor, currency)) > LARGEST:
        raise NotPayable("the amount has more than eight digits")
    if exponent(currency) == 3 and amount_minor % 10:  # three decimals go in multiples of ten (F-12)
        raise NotPayable(f"amounts in {currency} must be multiples of ten")


@lru_cache(maxsize=256)
def _factors(code: str) -> tuple[int, int]:
    return _ten_to(decimals(code)), _ten_to(exponent(code))


def _ten_to(places: int) -> int:
    return int(10**places)
