"""Who reads our events, and what each has done with them: claimed, parked, or discarded by a person.

Why: read in the databases' moment and kept, so that no transaction stays open while Kafka is read (F-30).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from consumers.analytics.events import CONSUMER as ANALYTICS
from consumers.analytics.events import TOPICS as ALL_TOPICS
from consumers.emails.events import TOPICS as EMAILS_TOPICS
from ops.audit.sources import Sources
from services.fulfillment.events import TOPICS as FULFILLMENT_TOPICS
from services.inventory.events import TOPICS as INVENTORY_TOPICS
from services.orders.events import TOPICS as ORDERS_TOPICS
from services.payments.events import TOPICS as PAYMENTS_TOPICS

# Clocks differ, and what was claimed long ago may be published once more (S-24).
MARGIN: Final = timedelta(hours=6)
_CLAIMED: Final = """
SELECT event_id::text AS event_id, topic, kafka_partition, kafka_offset FROM inbox
 WHERE consumer = $1 AND claimed_at >= $2
"""
_PARKED: Final = "SELECT topic, kafka_partition, kafka_offset FROM parked_events WHERE consumer = $1"
_DISCARDED: Final = """
SELECT subject FROM incidents WHERE kind = 'event_discarded' AND starts_with(subject, $1 || '/')
"""


@dataclass(frozen=True)
class Reader:
    """A consumer of our events and what it reads. Its inbox is in the database of its name, if it has one."""

    name: str
    topics: Sequence[str]

    @property
    def group(self) -> str:
        """Its group in Kafka."""
        return f"onefold.{self.name}"


READERS: Final = (
    Reader("orders", ORDERS_TOPICS),
    Reader("inventory", INVENTORY_TOPICS),
    Reader("payments", PAYMENTS_TOPICS),
    Reader("fulfillment", FULFILLMENT_TOPICS),
    Reader("emails", EMAILS_TOPICS),
    Reader(ANALYTICS, ALL_TOPICS),
)


@dataclass(frozen=True)
class Claims:
    """What a consumer has done: places of events by their ids, places that wait, and subjects that were discarded."""

    claimed: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    parked: frozenset[tuple[str, int, int]] = frozenset()
    discarded: frozenset[str] = frozenset()


async def read_claims(sources: Sources, since: datetime | None = None) -> dict[str, Claims]:
    """By consumer; `since` leaves out what was claimed before events of that time could be."""
    found: dict[str, Claims] = {}
    start = since - MARGIN if since else datetime(1970, 1, 1, tzinfo=UTC)
    for name in (reader.name for reader in READERS if reader.name in sources.databases):
        claimed = await sources.rows(name, _CLAIMED, name, start)
        parked = await sources.rows(name, _PARKED, name)
        discarded = await sources.rows(name, _DISCARDED, name)
        found[name] = Claims(
            {row["event_id"]: (row["topic"], row["kafka_partition"], row["kafka_offset"]) for row in claimed},
            frozenset((topic, partition, offset) for topic, partition, offset in parked),
            frozenset(row["subject"] for row in discarded),
        )
    return found
