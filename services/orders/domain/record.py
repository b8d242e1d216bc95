"""An order as plain JSON values and back.

Driven by the dataclasses themselves, so that a new field is persisted without a second list of names.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final

from services.orders.domain.order import Cancellation, Order, Progress

Record = dict[str, Any]
_PLAIN: Final = frozenset((str, int, bool, type(None)))


def to_record(order: Order) -> Record:
    """Field names to JSON values; nested dataclasses are objects, tuples lists, times ISO 8601."""
    record: Record = _encode(order)
    return record


def to_sparse_record(value: Cancellation | Progress) -> Record:
    """As to_record, but without what is as it was at first: from_record takes it for the default."""
    record: Record = {}
    kind: Any = type(value)
    for name, default in _defaults(kind):
        item = getattr(value, name)
        if item is not default and item != default:
            record[name] = _encode(item)
    return record


def from_record(record: Record) -> Order:
    """The order that to_record wrote; absent fields take their defaults, times may be datetime already."""
    order: Order = _decoder(Order)(record)
    return order


def _encode(value: Any) -> Any:
    kind: Any = type(value)
    return value if kind in _PLAIN else _encoder(kind)(value)


@cache
def _defaults(of: type[Cancellation] | type[Progress]) -> tuple[tuple[str, Any], ...]:
    fresh = of()
    return tuple((field.name, getattr(fresh, field.name)) for field in fields(of))


@cache
def _encoder(of: type[Any]) -> Callable[[Any], Any]:
    """Chosen once per type: every order that is placed or decided goes through here with some eighty values."""
    if of is tuple:
        return lambda value: [_encode(item) for item in value]
    if issubclass(of, Enum):
        return lambda value: value.value
    if not is_dataclass(of):
        return lambda value: value.isoformat()
    names = tuple(field.name for field in fields(of))

    def encode(value: Any) -> Record:
        record: Record = {}
        for name in names:
            item = getattr(value, name)
            kind: Any = type(item)
            record[name] = item if kind in _PLAIN else _encoder(kind)(item)
        return record

    return encode


@cache
def _decoder(wanted: Any) -> Callable[[Any], Any]:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        inner = _decoder(next(argument for argument in arguments if argument is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _decoder(arguments[0])
        return lambda value: tuple(map(item, value))
    if wanted is datetime:
        return lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return _dataclass_decoder(wanted)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted
    return lambda value: value


def _dataclass_decoder(wanted: Any) -> Callable[[Any], Any]:
    decoders = {name: _decoder(hint) for name, hint in typing.get_type_hints(wanted).items()}
    known = frozenset(field.name for field in fields(wanted))
    return lambda value: wanted(**{name: decoders[name](value[name]) for name in value.keys() & known})
