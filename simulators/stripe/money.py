"""Amounts as Stripe counts them: integers of the currency's minor unit, with its odd currencies (F-12)."""

from .errors import StripeError, parameter_invalid
from .forms import Params

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
LARGEST = 99_999_999
_LEAST = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "cad": 50, "aud": 50, "chf": 50, "inr": 50}


def currency(params: Params, key: str = "currency") -> str:
    """Three letters, in lower case in every answer."""
    value = params.required(key).lower()
    if len(value) != 3 or not value.isascii() or not value.isalpha():
        raise parameter_invalid(params.name(key), f"Invalid currency: {value}")
    return value


def amount(params: Params, key: str, in_currency: str) -> int:
    """A chargeable amount: not below the minimum, at most eight digits, three decimals in tens."""
    value = params.integer(key)
    if value is None:
        params.required(key)
    assert value is not None
    check(value, in_currency, params.name(key))
    return value


def check(value: int, in_currency: str, name: str) -> None:
    """Raise what Stripe would for an amount that cannot be charged."""
    if value < 1:
        raise parameter_invalid(name, "This value must be greater than or equal to 1.", "parameter_invalid_integer")
    if value > LARGEST:
        raise _amount_error(name, f"Amount must be no more than {shown(LARGEST, in_currency)}", "amount_too_large")
    if value < _LEAST.get(in_currency, 1):
        least = shown(_LEAST[in_currency], in_currency)
        raise _amount_error(name, f"Amount must be at least {least}", "amount_too_small")
    if in_currency in THREE_DECIMAL and value % 10:
        raise parameter_invalid(name, f"Amounts in {in_currency} must be multiples of ten.")


def shown(minor: int, in_currency: str) -> str:
    """`1999 usd` -> `19.99 USD`."""
    digits = 0 if in_currency in ZERO_DECIMAL else 3 if in_currency in THREE_DECIMAL else 2
    code = in_currency.upper()
    if digits == 0:
        return f"{minor} {code}"
    whole, part = divmod(minor, 10**digits)
    return f"{whole}.{part:0{digits}d} {code}"


def _amount_error(name: str, message: str, code: str) -> StripeError:
    return parameter_invalid(name, message, code)
