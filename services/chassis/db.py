"""PostgreSQL: one pool per process, transactions, and which errors are worth a second try.

Why: every time-out is set (F-28), plans are made for the data at hand (F-57), a commit that PostgreSQL turned into a
rollback is an error (F-25), and retries repeat the whole body of a transaction (F-27).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import asyncpg
from asyncpg.exceptions import UnsupportedClientFeatureError

from services.chassis.config import ServiceSettings
from services.chassis.errors import Code, DomainError
from services.chassis.telemetry import get_logger

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Transaction = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Transaction = asyncpg.Connection

T = TypeVar("T")
log = get_logger(__name__)

_TRIES = 5
_FIRST_PAUSE_S = 0.01
_CLIENT_MARGIN_S = 5.0  # the server's own time-out comes first; this one is for a server that is gone
_RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_PLUMBING_CLASSES = ("08", "40", "53", "57", "58")
_PLUMBING_STATES = ("25006", "55P03")
_PLUMBING_CODES = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)


# For the FROM of a statement that writes many rows with foreign keys. Their checks run at the statement's end, and with
# force_custom_plan (F-57) each would be planned anew, which cost more than the rows. Until the transaction ends plans
# are kept; without sequential scans they can only be look-ups by the key, however small the tables were at first.
PLANNED_ONCE: Final = """
set_config('plan_cache_mode', 'force_generic_plan', true) AS plans, set_config('enable_seqscan', 'off', true) AS scans
""".strip()


class TransactionAborted(Exception):
    """COMMIT was answered by ROLLBACK: an error inside of the transaction had been swallowed (F-25)."""


class Database:
    """The pool of one service's database. It leaves nothing in a session: only SET LOCAL, no session locks."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", settings: ServiceSettings) -> None:
        self._pool = pool
        self._settings = settings

    @property
    def dsn(self) -> str:
        """Where the database is, as its serving role."""
        return self._settings.database_url

    @classmethod
    async def connect(cls, settings: ServiceSettings) -> Self:
        """Open the pool with one connection, which proves that the database is there."""
        pool = await asyncpg.create_pool(
            settings.database_url,
            min_size=1,
            max_size=settings.pool_size,
            command_timeout=settings.statement_timeout_ms / 1000 + _CLIENT_MARGIN_S,
            server_settings=session_settings(settings),
            reset=_roll_back,
        )
        return cls(pool, settings)

    async def close(self) -> None:
        """Wait for the connections in use, then close them all."""
        await self._pool.close()

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """BEGIN .. COMMIT, or ROLLBACK if the body raises; one try. For savepoints see `savepoint`."""
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._pool.acquire() as connection:
            await connection.execute("BEGIN")
            try:
                yield connection
            except BaseException as error:
                _forget_rows(error)
                if not connection.is_closed():
                    with suppress(*_LOST):  # lost at this very moment: the body's error says more
                        await connection.execute("ROLLBACK")
                raise
            with _without_rows():
                if await connection.execute("COMMIT") != "COMMIT":
                    raise TransactionAborted

    async def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `body` in a transaction, and the whole of it again after a deadlock or serialization failure."""
        for attempt in range(_TRIES - 1):
            try:
                async with self.transaction() as tx:
                    return await body(tx)
            except _RETRIED as error:
                log.info("transaction_retried", sqlstate=error.sqlstate, attempt=attempt + 1)
            await asyncio.sleep(random.uniform(0.5, 1.0) * _FIRST_PAUSE_S * 2**attempt)
        async with self.transaction() as tx:
            return await body(tx)

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """LISTEN on a session of its own; yields an event that is set once the session is lost.

        `heard` gets each payload. What is told before this begins or after it is lost is not heard: look yourself.
        """
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._settings.database_url, server_settings=session_settings(self._settings, channel)
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(channel, lambda _, __, ___, payload: heard(str(payload)))
            yield lost
        finally:
            with suppress(*_LOST):
                await connection.close(timeout=1)
            connection.terminate()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Rows of one statement outside of a transaction."""
        with _without_rows():
            return await self._pool.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row of one statement outside of a transaction."""
        with _without_rows():
            return await self._pool.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first value of one statement outside of a transaction."""
        with _without_rows():
            return await self._pool.fetchval(sql, *args)


@asynccontextmanager
async def savepoint(tx: Transaction) -> AsyncIterator[None]:
    """What is inside may fail without failing the transaction; not nested."""
    await tx.execute("SAVEPOINT chassis")
    try:
        yield
    except BaseException:
        await tx.execute("ROLLBACK TO SAVEPOINT chassis")
        raise
    await tx.execute("RELEASE SAVEPOINT chassis")


def session_settings(settings: ServiceSettings, role: str = "") -> dict[str, str]:
    """Server settings of a connection; for the few that are opened outside of the pool, named by `role`."""
    return {
        "application_name": "-".join(filter(None, ("onefold", settings.service, role))),
        "plan_cache_mode": "force_custom_plan",
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(settings.idle_in_transaction_timeout_ms),
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "timezone": "UTC",
    }


def is_broken_plumbing(error: BaseException) -> bool:
    """Whether the way to the database or to another service broke, so that the same work may succeed later (S-26)."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _PLUMBING_CLASSES or state in _PLUMBING_STATES
    if isinstance(error, asyncpg.InterfaceError):
        # The driver uses one class for lost connections and for wrong arguments; the latter never get better.
        wrong = isinstance(error, (ValueError, UnsupportedClientFeatureError))
        return not wrong and not str(error).startswith("the server expects")
    if isinstance(error, DomainError):
        return error.code in _PLUMBING_CODES
    return isinstance(error, (OSError, asyncpg.InternalClientError)) or _rpc_code(error) in _PLUMBING_CODES


def _rpc_code(error: BaseException) -> Code | None:
    """The code of a `grpc.RpcError`, known by its shape: not every role loads gRPC (F-62)."""
    code = getattr(error, "code", None)
    value = getattr(code() if callable(code) else None, "value", None)
    return Code(value[0]) if isinstance(value, tuple) else None


@contextmanager
def _without_rows() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        _forget_rows(error)
        raise


def _forget_rows(error: BaseException | None) -> None:
    """PostgreSQL's DETAIL shows the failing row, and the row may hold an address: no log or incident may say it."""
    while error is not None:
        if isinstance(error, asyncpg.PostgresError):
            error.detail = None
        error = error.__cause__ or error.__context__


async def _roll_back(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Instead of asyncpg's reset, which costs a round trip per release; only a broken-off body leaves work here."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
