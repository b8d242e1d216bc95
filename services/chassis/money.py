"""Amounts in minor units as decimal text.

Why: providers and mails want `10.50`, and the number of decimals belongs to the currency (R-1.20); no float is used.
"""

from typing import Final

# ISO 4217: every other currency that is in use has two.
_NONE: Final = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
_THREE: Final = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))


def decimals(currency: str) -> int:
    """Decimals of the currency's minor unit: 0 for JPY, 3 for KWD, else 2."""
    return 0 if currency in _NONE else 3 if currency in _THREE else 2


def decimal_text(amount_minor: int, currency: str) -> str:
    """`1050, GBP` -> `10.50`; `1050, JPY` -> `1050`; `-1050, KWD` -> `-1.050`."""
    places = decimals(currency)
    digits = str(abs(amount_minor)).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if amount_minor < 0 else text
