"""Reading an order's JSON as Printful does: external_id, recipient, items, retail costs (F-17)."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import PrintfulError, bad_request

Object = dict[str, Any]

EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
MOST_UNITS = 1_000
_REQUIRED = ("name", "address1", "city", "country_code", "zip")
_RECIPIENT = (
    *("name", "company", "address1", "address2", "city", "state_code", "state_name", "country_code", "country_name"),
    *("zip", "phone", "email", "tax_number"),
)
# Countries where Printful asks for a state, and those without postcodes.
_WITH_STATE = frozenset({"US", "CA", "AU", "JP"})
_WITHOUT_ZIP = frozenset({"AE", "HK", "IE", "QA"})
_COSTS = ("discount", "shipping", "tax", "vat")


def external_id(body: Object) -> str | None:
    """At most 32 characters of letters, digits, dash and underscore: a dashed UUID does not fit (F-17)."""
    value = body.get("external_id")
    if value is None:
        return None
    if not isinstance(value, str) or not EXTERNAL_ID.fullmatch(value):
        raise bad_request("External ID must be at most 32 characters of letters, digits, dashes and underscores")
    return value


def recipient(body: Object) -> Object:
    """The address; who and where are required, a state where the country has states."""
    value = body.get("recipient")
    if not isinstance(value, dict):
        raise bad_request("Missing required parameters: recipient")
    address = {key: _text(value.get(key), f"recipient.{key}") for key in _RECIPIENT}
    country = (address["country_code"] or "").upper()
    missing = [key for key in _REQUIRED if not address[key] and not (key == "zip" and country in _WITHOUT_ZIP)]
    if missing:
        raise bad_request(f"Recipient: missing required fields: {', '.join(missing)}")
    if not re.fullmatch(r"[A-Z]{2}", country):
        raise bad_request("Recipient: invalid country code")
    if country in _WITH_STATE and not address["state_code"]:
        raise bad_request("Recipient: State code is missing")
    return {**address, "country_code": country}


def items(body: Object) -> list[Object]:
    """The lines: `sync_variant_id` is a whole number, `quantity` 1 to 1,000, `retail_price` a decimal text."""
    value = body.get("items")
    if not isinstance(value, list):
        raise bad_request("OR-5: The item provided is not an array")
    if not value:
        raise bad_request("Missing required parameters: items")
    return [_item(item, index) for index, item in enumerate(value)]


def retail_costs(body: Object, lines: list[Object]) -> Object:
    """What the customer paid, for the packing slip; subtotal and total are counted by Printful when not given."""
    value = body.get("retail_costs") or {}
    if not isinstance(value, dict):
        raise bad_request("Invalid retail costs")
    parts = {key: _decimal(value.get(key, "0.00"), f"retail_costs.{key}") for key in _COSTS}
    counted = sum((Decimal(line["retail_price"] or "0") * line["quantity"] for line in lines), Decimal(0))
    subtotal = _decimal(value["subtotal"], "retail_costs.subtotal") if value.get("subtotal") is not None else counted
    total = subtotal - parts["discount"] + parts["shipping"] + parts["tax"] + parts["vat"]
    if value.get("total") is not None:
        total = _decimal(value["total"], "retail_costs.total")
    shown = {key: f"{amount:.2f}" for key, amount in parts.items()}
    return {"currency": value.get("currency") or "USD", "subtotal": f"{subtotal:.2f}", **shown, "total": f"{total:.2f}"}


def _item(value: Any, index: int) -> Object:
    if not isinstance(value, dict):
        raise bad_request("OR-5: The item provided is not an array")
    variant = value.get("sync_variant_id")
    if isinstance(variant, bool) or not isinstance(variant, int) or variant < 1:
        raise bad_request(f"Item {index}: sync_variant_id must be a positive integer")
    quantity = value.get("quantity")
    if isinstance(quantity, bool) or not isinstance(quantity, int) or not 1 <= quantity <= MOST_UNITS:
        raise bad_request(f"Item {index}: quantity must be between 1 and {MOST_UNITS}")
    price = value.get("retail_price")
    return {
        "external_id": _text(value.get("external_id"), f"items[{index}].external_id"),
        "sync_variant_id": variant,
        "quantity": quantity,
        "retail_price": None if price is None else f"{_decimal(price, f'items[{index}].retail_price'):.2f}",
        "name": _text(value.get("name"), f"items[{index}].name"),
        "sku": _text(value.get("sku"), f"items[{index}].sku"),
    }


def _decimal(value: Any, name: str) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise _invalid(name) from None
    if not amount.is_finite() or amount < 0:
        raise _invalid(name)
    return amount


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise _invalid(name)


def _invalid(name: str) -> PrintfulError:
    return bad_request(f"Invalid value: {name}")
