"""What the audit reads: databases, Kafka's topics, the archive, the mailbox and the providers' own books.

Why: every law compares independent witnesses; each is read as it is at one moment, and nothing is ever written.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from ops.audit.kafka import Topics

if TYPE_CHECKING:
    from ops.audit.claims import Claims
    from simulators.views import OrderLedger, ParcelLedger

DATABASES: Final = ("orders", "inventory", "payments", "fulfillment", "emails")
# The witnesses that are no databases, by the names that people use for them.
TOPICS, STRIPE, PRINTFUL, MAILBOX, ARCHIVE = "kafka", "stripe", "printful", "mailbox", "archive"
WITNESSES: Final = (*DATABASES, TOPICS, STRIPE, PRINTFUL, MAILBOX, ARCHIVE)
# All rows as they stand in the files: a view that shows each event once would hide those that are there twice.
_ARCHIVED: Final = 'SELECT topic, partition, "offset" FROM archive'
STATEMENT_MS: Final = "60000"
HTTP_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Sources:
    """The witnesses of one look; what is not there is None or empty, and laws about it find nothing.

    `at_rest`: nobody buys, so what is not finished is stuck, however young it is.
    """

    databases: Mapping[str, "asyncpg.Connection[asyncpg.Record]"]
    claims: "Mapping[str, Claims]" = field(default_factory=dict)  # by consumer
    topics: Topics = field(default_factory=Topics)
    stripe: "Mapping[str, OrderLedger] | None" = None
    printful: "Mapping[str, ParcelLedger] | None" = None
    letters: Sequence[Mapping[str, Any]] | None = None
    archive: Sequence[tuple[str, int, int]] | None = None  # topic, partition, offset of each archived row
    at_rest: bool = False

    @property
    def present(self) -> Collection[str]:
        """Names of the witnesses that are there."""
        others = {STRIPE: self.stripe, PRINTFUL: self.printful, MAILBOX: self.letters, ARCHIVE: self.archive}
        there = [name for name, found in others.items() if found is not None]
        return [*self.databases, *there, *([TOPICS] if self.topics.begins else [])]

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
    """Where the witnesses are; an empty text or None: there is none.

    `simulators` is where the books of `stripe` and `printful` are, where those are the ones that are simulated.
    """

    databases: Mapping[str, str]
    kafka: str = ""
    topic_prefix: str = ""
    simulators: str = ""
    stripe: bool = True
    printful: bool = True
    mailbox: str = ""
    archive: Path | None = None

    @classmethod
    def told_by(cls, variables: Mapping[str, str]) -> "Places":
        """From `ONEFOLD_...` variables, as a local stack keeps them or an operator sets them."""

        def local(name: str) -> str:
            port = variables.get(f"ONEFOLD_{name}_PORT", "")
            return f"http://127.0.0.1:{port}" if port else ""

        def simulated(name: str) -> bool:
            return bool(simulators) and variables.get(name, "").startswith(f"{simulators}/")

        simulators = local("SIMULATORS")
        urls = {name: variables.get(f"ONEFOLD_{name.upper()}_DATABASE_URL", "") for name in DATABASES}
        folder = variables.get("ONEFOLD_ANALYTICS_FOLDER", "")
        return cls(
            databases={name: url for name, url in urls.items() if url},
            kafka=variables.get("ONEFOLD_ORDERS_KAFKA_BOOTSTRAP", ""),
            topic_prefix=variables.get("ONEFOLD_ORDERS_TOPIC_PREFIX", ""),
            simulators=simulators,
            stripe=simulated("ONEFOLD_PAYMENTS_STRIPE_API_BASE"),
            printful=simulated("ONEFOLD_FULFILLMENT_PRINTFUL_API_BASE"),
            mailbox=local("SMTP_HTTP"),
            archive=Path(folder) if folder else None,
        )


@asynccontextmanager
async def open_books(places: Places, *, at_rest: bool = False, everywhere: bool = True) -> AsyncIterator[Sources]:
    """The databases as they are now, and then what the providers and the mailbox say; these are local and quick."""
    async with AsyncExitStack() as stack:
        databases = {name: await stack.enter_async_context(_reading(url)) for name, url in places.databases.items()}
        if not everywhere:
            yield Sources(databases=databases, at_rest=at_rest)
            return
        stripe, printful = await _books(places)
        letters = await _letters(places.mailbox)
        yield Sources(databases=databases, stripe=stripe, printful=printful, letters=letters, at_rest=at_rest)


def archived(folder: Path | None) -> list[tuple[str, int, int]] | None:
    """Every row of the archive, also one that is there twice; a folder that is missing holds none. Raises OSError."""
    if folder is None:
        return None
    import duckdb

    from consumers.analytics import query

    try:
        return [(str(t), int(p), int(o)) for t, p, o in query.ask(_ARCHIVED, folder).rows]
    except duckdb.Error as error:
        raise OSError(f"the archive {folder}: {error}") from error


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


async def _books(places: Places) -> "tuple[dict[str, OrderLedger] | None, dict[str, ParcelLedger] | None]":
    if not places.simulators or not (places.stripe or places.printful):
        return None, None
    import httpx

    from simulators.client import SimulatorClient

    try:
        async with SimulatorClient(places.simulators) as world:
            stripe = await world.stripe.ledgers() if places.stripe else None
            return stripe, await world.printful.ledgers() if places.printful else None
    except httpx.HTTPError as error:
        raise ConnectionError(f"simulators at {places.simulators}: {error!r}") from error


async def _letters(url: str) -> list[dict[str, Any]] | None:
    if not url:
        return None
    import httpx

    try:
        async with httpx.AsyncClient(base_url=url, timeout=HTTP_SECONDS) as mailbox:
            answer = await mailbox.get("/headings")
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ConnectionError(f"mailbox at {url}: {error!r}") from error
    found: list[dict[str, Any]] = answer.json()
    return found
