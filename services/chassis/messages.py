"""Times and units between Python and the messages that all services share.

Why: every service tells moments and lines of orders, and each of them should tell them alike.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol, overload

from google.protobuf.timestamp_pb2 import Timestamp
from onefold.common.v1 import common_pb2

from services.chassis.errors import InvalidField


class LineUnits(Protocol):
    """So many units of one line of an order."""

    @property
    def line(self) -> int: ...
    @property
    def sku(self) -> str: ...
    @property
    def quantity(self) -> int: ...


@overload
def timestamp(moment: datetime) -> Timestamp: ...
@overload
def timestamp(moment: None) -> None: ...
@overload
def timestamp(moment: datetime | None) -> Timestamp | None: ...
def timestamp(moment: datetime | None) -> Timestamp | None:
    """The moment, or None where there is none. Shared between calls: it must not be changed."""
    return None if moment is None else _timestamp(moment)


def moment_of(timestamp: Timestamp, field: str = "") -> datetime:
    """The moment in UTC. Raises InvalidField, which names `field`, for one that no calendar has."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidField(field, "the time is out of range") from error


def line_quantities(units: Iterable[LineUnits]) -> list[common_pb2.LineQuantity]:
    """Units as messages, in their order."""
    return [common_pb2.LineQuantity(line=unit.line, sku=unit.sku, quantity=unit.quantity) for unit in units]


@lru_cache(maxsize=64)  # all events of a batch happen at one moment
def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
