"""Form bodies with brackets into nested values, and typed reading of them, as Stripe's v1 API does."""

from collections.abc import Collection
from typing import Any, cast
from urllib.parse import parse_qsl

from .errors import parameter_invalid, parameter_missing, parameter_unknown

METADATA_KEYS = 50
METADATA_KEY_LENGTH = 40
METADATA_VALUE_LENGTH = 500
_YES_NO = {"true": True, "false": False}


def decode(raw: str) -> dict[str, Any]:
    """`a[b][0]=x&c[]=y` -> `{"a": {"b": ["x"]}, "c": ["y"]}`; every leaf is a string."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        head, *rest = name.replace("]", "").split("[")
        node = root
        path = [head, *rest]
        for part in path[:-1]:
            child = node.setdefault(part, {})
            if not isinstance(child, dict):
                raise parameter_invalid(name, "Invalid object")
            node = child
        leaf = path[-1] if path[-1] else str(len(node))
        node[leaf] = value
    return cast(dict[str, Any], {key: _lists(value) for key, value in root.items()})


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    children = {key: _lists(child) for key, child in value.items()}
    if children and all(key.isdigit() for key in children):
        return [children[key] for key in sorted(children, key=int)]
    return children


class Params:
    """The parameters of one call; every reader names the parameter in its error, as Stripe does."""

    def __init__(self, values: dict[str, Any], prefix: str = "") -> None:
        self.values = values
        self._prefix = prefix

    def name(self, key: str) -> str:
        """How the error calls it: `payment_intent_data[metadata]`."""
        return f"{self._prefix}[{key}]" if self._prefix else key

    def only(self, allowed: Collection[str]) -> None:
        """Refuse what the endpoint does not know."""
        for key in self.values:
            if key not in allowed:
                raise parameter_unknown(self.name(key))

    def given(self, key: str) -> bool:
        """Whether the caller sent it, even empty."""
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string; empty means unset."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise parameter_invalid(self.name(key), "Invalid string")
        return value or None

    def required(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if value is None:
            raise parameter_missing(self.name(key))
        return value

    def integer(self, key: str, default: int | None = None) -> int | None:
        """A whole number; `10.5` and `1e3` are refused (amounts are minor units, F-12)."""
        value = self.text(key)
        if value is None:
            return default
        if not value.lstrip("-").isdecimal() or not value.isascii():
            raise parameter_invalid(self.name(key), f"Invalid integer: {value}", code="parameter_invalid_integer")
        return int(value)

    def boolean(self, key: str, default: bool = False) -> bool:
        """`true` or `false`."""
        value = self.text(key)
        if value is None:
            return default
        if value not in _YES_NO:
            raise parameter_invalid(self.name(key), f"Invalid boolean: {value}")
        return _YES_NO[value]

    def choice(self, key: str, allowed: Collection[str], default: str | None = None) -> str | None:
        """One of a closed set of words."""
        value = self.text(key)
        if value is None:
            return default
        if value not in allowed:
            raise parameter_invalid(self.name(key), f"Invalid {key}: must be one of {', '.join(sorted(allowed))}")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings; one string counts as a list of one."""
        value = self.values.get(key)
        if value is None or value == "":
            return []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise parameter_invalid(self.name(key), "Invalid array")
        return value

    def group(self, key: str) -> "Params":
        """A nested object; empty when it was not sent."""
        value = self.values.get(key)
        if value is None or value == "":
            return Params({}, self.name(key))
        if not isinstance(value, dict):
            raise parameter_invalid(self.name(key), "Invalid object")
        return Params(value, self.name(key))

    def groups(self, key: str) -> list["Params"]:
        """A list of nested objects."""
        value = self.values.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise parameter_invalid(self.name(key), "Invalid array")
        return [Params(item, f"{self.name(key)}[{index}]") for index, item in enumerate(value)]

    def metadata(self, current: dict[str, str] | None = None) -> dict[str, str]:
        """`current` merged with what was sent: an empty value unsets a key, an empty `metadata` all; limits of F-11."""
        merged = dict(current or {})
        sent = self.values.get("metadata")
        if sent is None:
            return merged
        if sent == "":
            return {}
        if not isinstance(sent, dict):
            raise parameter_invalid(self.name("metadata"), "Invalid object")
        for key, value in sent.items():
            name = f"{self.name('metadata')}[{key}]"
            if not isinstance(value, str):
                raise parameter_invalid(name, "Metadata values must be strings")
            if len(key) > METADATA_KEY_LENGTH:
                raise parameter_invalid(name, f"Metadata keys can have up to {METADATA_KEY_LENGTH} characters")
            if len(value) > METADATA_VALUE_LENGTH:
                raise parameter_invalid(name, f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters")
            if value == "":
                merged.pop(key, None)
            else:
                merged[key] = value
        if len(merged) > METADATA_KEYS:
            raise parameter_invalid(self.name("metadata"), f"Metadata can have up to {METADATA_KEYS} keys")
        return merged
