"""Events and a consumer's effects for the tests of messaging.

Why: what a handler did is a row in a real table, written in the transaction of the claim.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from onefold.orders.v1 import orders_events_pb2

from services.chassis.clock import ManualClock
from services.chassis.consumer import Handler
from services.chassis.consumer.apply import Applier, Item
from services.chassis.db import Database, Transaction
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent, Outcome, decode
from services.chassis.outbox import OutgoingEvent, outgoing

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TOPIC: Final = "onefold.orders.v1"
CONSUMER: Final = "reader"
POISON: Final = b"\xff\xff\xff"

SOMEBODY_WAITS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

EFFECTS: Final = """
CREATE TABLE effects (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text NOT NULL, key text NOT NULL)
"""


def event(key: str = "order-1", offset: int = 0, **changes: object) -> IncomingEvent:
    """An `OrderConfirmed` at `offset` of partition 0."""
    made = IncomingEvent(
        id=new_id(),
        type="onefold.orders.v1.OrderConfirmed",
        source="onefold/orders",
        time=NOW,
        key=key,
        topic=TOPIC,
        partition=0,
        offset=offset,
        traceparent="",
        payload=b"",
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def sent(key: str, now: datetime = NOW) -> OutgoingEvent:
    """An `OrderConfirmed` on its way out."""
    return outgoing(orders_events_pb2.OrderConfirmed(), key=key, now=now)


async def create_effects(owner_dsn: str) -> None:
    """The table that `apply` writes to."""
    owner = await asyncpg.connect(owner_dsn)
    try:
        await owner.execute(EFFECTS)
    finally:
        await owner.close()


async def apply(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
    """A handler: decodes each event and writes one row for it, in their order."""
    for one in events:
        decode(one)
    await tx.execute(
        "INSERT INTO effects (event_id, key) SELECT * FROM unnest($1::text[], $2::text[])",
        [one.id for one in events],
        [one.key for one in events],
    )
    return {one.id: Outcome.APPLIED for one in events}


def applier(db: Database, clock: ManualClock, handler: Handler = apply, parked_max: int = 20) -> Applier:
    return Applier(consumer=CONSUMER, database=db, handler=handler, clock=clock, parked_per_minute_max=parked_max)


def ids(*events: Item) -> list[str]:
    return [one.id for one in events if isinstance(one, IncomingEvent)]


async def effects(db: Database, key: str | None = None) -> list[str]:
    """Ids of the events that had their effect, in the order of their effects, with every repetition."""
    rows = await db.fetch("SELECT event_id FROM effects WHERE $1::text IS NULL OR key = $1 ORDER BY place", key)
    return [row["event_id"] for row in rows]


async def inbox_rows(db: Database) -> dict[str, str]:
    """Outcome by event id."""
    return {row["id"]: row["outcome"] for row in await db.fetch("SELECT event_id::text AS id, outcome FROM inbox")}


class AnswerLost(Database):
    """Commits, and then loses the connection before the answer arrives."""

    lost = False

    @classmethod
    def of(cls, database: Database) -> "AnswerLost":
        return cls(database._pool, database._settings)

    def transaction(self) -> Any:
        return self._losing()

    @asynccontextmanager
    async def _losing(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx
        if not self.lost:
            self.lost = True
            raise ConnectionResetError("the answer to COMMIT was lost")
