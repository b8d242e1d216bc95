"""Pages: how much one answer can hold, and tokens of where a page ended and of which list.

Why: a token is opaque to callers, and one of another list is refused instead of skipping orders.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.errors import InvalidField
from services.orders.store.reading import Place, Wanted

MOST_BYTES: Final = 3_500_000  # of what an answer lists; gRPC takes 4 MiB, with all that stands around it
M = TypeVar("M", bound=Message)


def fitting(messages: Iterable[M]) -> list[M]:
    """The first of them that one answer can hold, at least one; the others are not even made."""
    held: list[M] = []
    room = MOST_BYTES
    for message in messages:
        room -= message.ByteSize()
        if held and room < 0:
            break
        held.append(message)
    return held


def token_of(place: Place, wanted: Wanted) -> str:
    """The token for the page after `place`."""
    text = json.dumps([place.created_at.isoformat(), place.order_id, _mark(wanted)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(token: str, wanted: Wanted) -> Place | None:
    """Where the page before ended; None for the first page. Raises InvalidField for a token of something else."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        created_at, order_id, mark = json.loads(text)
        place = Place(datetime.fromisoformat(created_at), str(UUID(order_id)))
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise InvalidField("page_token", "is not one of ours") from None
    if mark != _mark(wanted) or place.created_at.tzinfo is None:
        raise InvalidField("page_token", "belongs to another list")
    return place


def _mark(wanted: Wanted) -> str:
    text = repr((wanted.customer_id, sorted(wanted.states), wanted.created_from, wanted.created_until))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
