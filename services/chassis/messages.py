"""Times and units between Python and the messages that all services share.

Why: every service tells moments and lines of orders, and each of them should tell them alike.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Protocol, overload

from google.protobuf.timestamp_pb2 import Timestamp
from onefold.common.v1 import common_pb2

from services.chassis.errors import InvalidField

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS: Final = 1_000_000_000


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
        if 0 <= timestamp.nanos < _NANOS:
            return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
    except OverflowError as error:
        raise InvalidField(field, "the time is out of range") from error
    raise InvalidField(field, "the time is out of range")


def context_of(order_id: str, version: int, now: datetime, caused_by: str) -> Any:
    """The fields of EventContext: written in place, they cost less than a message that is copied."""
    return {"order_id": order_id, "version": version, "occurred_at": timestamp(now), "caused_by": caused_by}


def line_quantities(units: Iterable[LineUnits]) -> list[common_pb2.LineQuantity]:
    """Units as messages, in their order."""
    return [common_pb2.LineQuantity(line=unit.line, sku=unit.sku, quantity=unit.quantity) for unit in units]


@lru_cache(maxsize=64)  # all events of a batch happen at one moment
def _timestamp(moment: datetime) -> Timestamp:
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
