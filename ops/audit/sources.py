"""What the audit reads: databases, Kafka's topics, the archive, the mailbox and the providers' own books.

Why: every law compares independent witnesses; each is read as it is at one moment, and nothing is ever written.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from ops.audit.kafka import Topics, read_topics

if TYPE_CHECKING:
    from simulators.views import OrderLedger, ParcelLedger

DATABASES: Final = ("orders", "inventory", "payments", "fulfillment", "emails")
# Without the small files that stay beside the one they were joined into.
_ARCHIVED: Final = """
SELECT topic, partition, "offset" FROM events UNION ALL
SELECT topic, partition, "offset" FROM unreadable WHERE (topic, partition, "offset") NOT IN (
    SELECT (topic, partition, "offset") FROM events)
"""
STATEMENT_MS: Final = "60000"
HTTP_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Reader:
    """A consumer of our events: its name in `inbox`, its group in Kafka, what it reads; `database` holds its inbox."""

    name: str
    database: str
    group: str
    topics: Sequence[str]


_ORDERS, _PAYMENTS = "onefold.orders.v1", "onefold.payments.v1"
_INVENTORY, _FULFILLMENT = "onefold.inventory.v1", "onefold.fulfillment.v1"
READERS: Final = (
    Reader("orders", "orders", "onefold.orders", (_PAYMENTS, _INVENTORY, _FULFILLMENT)),
    Reader("inventory", "inventory", "onefold.inventory", (_ORDERS,)),
    Reader("payments", "payments", "onefold.payments", (_ORDERS,)),
    Reader("fulfillment", "fulfillment", "onefold.fulfillment", (_ORDERS,)),
    Reader("emails", "emails", "onefold.emails", (_ORDERS, _INVENTORY)),
)


@dataclass(frozen=True)
class Sources:
    """The witnesses of one look; what is not there is None or empty, and laws about it find nothing.

    `at_rest`: nobody buys, so what is not finished is stuck, however young it is.
    """

    databases: Mapping[str, "asyncpg.Connection[asyncpg.Record]"]
    topics: Topics = field(default_factory=Topics)
    stripe: "Mapping[str, OrderLedger] | None" = None
    printful: "Mapping[str, ParcelLedger] | None" = None
    letters: Sequence[Mapping[str, Any]] | None = None
    archive: Sequence[tuple[str, int, int]] | None = None  # topic, partition, offset of each archived event
    at_rest: bool = False

    async def rows(self, database: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Rows of one database; none if it is not among the witnesses."""
        if database not in self.databases:
            return []
        return list(await self.databases[database].fetch(sql, *values))

    def older_than(self, usual: timedelta) -> timedelta:
        """The age at which a law calls something stuck."""
        return timedelta() if self.at_rest else usual


@dataclass(frozen=True)
class Places:
    """Where the witnesses are; an empty text or None: there is none."""

    databases: Mapping[str, str]
    kafka: str = ""
    topic_prefix: str = ""
    simulators: str = ""
    mailbox: str = ""
    archive: Path | None = None

    @classmethod
    def told_by(cls, variables: Mapping[str, str]) -> "Places":
        """From `ONEFOLD_...` variables, as a local stack keeps them or an operator sets them."""

        def local(name: str) -> str:
            port = variables.get(f"ONEFOLD_{name}_PORT", "")
            return f"http://127.0.0.1:{port}" if port else ""

        urls = {name: variables.get(f"ONEFOLD_{name.upper()}_DATABASE_URL", "") for name in DATABASES}
        folder = variables.get("ONEFOLD_ANALYTICS_FOLDER", "")
        return cls(
            databases={name: url for name, url in urls.items() if url},
            kafka=variables.get("ONEFOLD_ORDERS_KAFKA_BOOTSTRAP", ""),
            topic_prefix=variables.get("ONEFOLD_ORDERS_TOPIC_PREFIX", ""),
            simulators=local("SIMULATORS"),
            mailbox=local("SMTP_HTTP"),
            archive=Path(folder) if folder else None,
        )


@asynccontextmanager
async def look(places: Places, *, at_rest: bool = False, everywhere: bool = True) -> AsyncIterator[Sources]:
    """Read everything once, or the databases only. These first: what they have published must be in the topics."""
    async with AsyncExitStack() as stack:
        databases = {name: await stack.enter_async_context(_reading(url)) for name, url in places.databases.items()}
        if not everywhere:
            yield Sources(databases=databases, at_rest=at_rest)
            return
        stripe, printful = await _books(places.simulators)
        groups = [*(reader.group for reader in READERS), "onefold.analytics"]
        yield Sources(
            databases=databases,
            topics=await read_topics(places.kafka, groups, places.topic_prefix) if places.kafka else Topics(),
            stripe=stripe,
            printful=printful,
            letters=await _letters(places.mailbox),
            archive=_archived(places.archive),
            at_rest=at_rest,
        )


@asynccontextmanager
async def _reading(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A database as it is now, and stays for whoever reads: one transaction that cannot write."""
    connection = await asyncpg.connect(url, server_settings={"statement_timeout": STATEMENT_MS})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SELECT 1 FROM outbox LIMIT 1")  # the snapshot is taken by the first statement
            yield connection
    finally:
        await connection.close()


async def _books(url: str) -> "tuple[dict[str, OrderLedger] | None, dict[str, ParcelLedger] | None]":
    if not url:
        return None, None
    from simulators.client import SimulatorClient

    async with SimulatorClient(url) as world:
        return await world.stripe.ledgers(), await world.printful.ledgers()


async def _letters(url: str) -> list[dict[str, Any]] | None:
    if not url:
        return None
    import httpx

    async with httpx.AsyncClient(base_url=url, timeout=HTTP_SECONDS) as mailbox:
        answer = await mailbox.get("/headings")
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def _archived(folder: Path | None) -> list[tuple[str, int, int]] | None:
    if folder is None or not folder.is_dir():
        return None
    from consumers.analytics import query

    return [(str(t), int(p), int(o)) for t, p, o in query.ask(_ARCHIVED, folder).rows]
