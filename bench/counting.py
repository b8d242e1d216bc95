"""Counted work: statements sent to PostgreSQL and messages encoded while something is done.

Why: a guard in every test run cannot go by time on a shared machine, but a batch that suddenly costs a statement more
per order is seen by counting.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Final
from unittest.mock import patch

import asyncpg

INTROSPECTION: Final = ("typeinfo", "'jit'")  # asyncpg's own, once per connection and type
ENCODING: Final = ("SerializeToString", "SerializePartialToString")


@dataclass
class Work:
    """What was done so far. A statement is a round trip once it was prepared."""

    statements: list[str] = field(default_factory=list)
    encodes: int = 0

    def clear(self) -> None:
        """Begin to count anew."""
        self.statements.clear()
        self.encodes = 0


@contextmanager
def counted() -> Iterator[Work]:
    """Counts on every pool that is opened inside of the block, and every encoding by this thread."""
    work = Work()

    def note(record: Any) -> None:
        if not any(sign in record.query for sign in INTROSPECTION):
            work.statements.append(" ".join(record.query.split()))

    async def watch(connection: Any) -> None:
        connection.add_query_logger(note)

    def see(_: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in ENCODING:
            work.encodes += 1

    before = sys.getprofile()
    with patch.object(asyncpg, "create_pool", partial(asyncpg.create_pool, init=watch)):
        sys.setprofile(see)
        try:
            yield work
        finally:
            sys.setprofile(before)
