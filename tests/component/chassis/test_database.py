import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from ops.local.databases import Access
from services.chassis.config import ServiceSettings
from services.chassis.db import Database, Transaction, TransactionAborted, is_broken_plumbing, savepoint
from services.chassis.testing import open_database, settings_for


@pytest.fixture
def settings(database: Callable[[str], Access]) -> ServiceSettings:
    return settings_for(ServiceSettings, database("chassis").serving)


@pytest.fixture
async def db(settings: ServiceSettings) -> AsyncIterator[Database]:
    async with open_database(settings) as opened:
        yield opened


async def add(tx: Transaction, request_id: str) -> None:
    await tx.execute(
        "INSERT INTO idempotency_keys (caller, method, request_id, body_hash, subject, phase, holder, lease_until)"
        " VALUES ('c', 'm', $1, $2, 's', 'p', 'h', now())",
        request_id,
        bytes(32),
    )


async def count(db: Database) -> int:
    number: int = await db.fetchval("SELECT count(*) FROM idempotency_keys")
    return number


async def test_every_time_out_is_set_and_plans_fit_the_rows(db: Database) -> None:
    async with db.transaction() as tx:
        shown = {
            name: await tx.fetchval("SELECT current_setting($1)", name)
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "plan_cache_mode")
        }
    assert shown == {
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "15s",
        "plan_cache_mode": "force_custom_plan",
    }


async def test_a_body_that_raises_is_rolled_back(db: Database) -> None:
    with pytest.raises(LookupError):
        async with db.transaction() as tx:
            await add(tx, "1")
            raise LookupError
    assert await count(db) == 0


async def test_a_commit_that_became_a_rollback_is_an_error(db: Database) -> None:
    with pytest.raises(TransactionAborted):
        async with db.transaction() as tx:
            await add(tx, "1")
            with pytest.raises(asyncpg.UniqueViolationError):
                await add(tx, "1")
    assert await count(db) == 0


async def test_a_savepoint_keeps_what_came_before(db: Database) -> None:
    async with db.transaction() as tx:
        await add(tx, "1")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with savepoint(tx):
                await add(tx, "1")
        async with savepoint(tx):
            await add(tx, "2")
    assert await count(db) == 2


async def test_a_cancelled_body_leaves_a_clean_connection(settings: ServiceSettings) -> None:
    async with open_database(settings.model_copy(update={"pool_size": 1})) as db:
        asleep = asyncio.Event()

        async def body(tx: Transaction) -> None:
            await add(tx, "1")
            asleep.set()
            await tx.execute("SELECT pg_sleep(60)")

        task = asyncio.create_task(db.run(body))
        await asleep.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with db.transaction() as tx:
            await add(tx, "1")
        assert await count(db) == 1


async def test_a_deadlock_repeats_the_whole_body(db: Database) -> None:
    async with db.transaction() as tx:
        await add(tx, "1")
        await add(tx, "2")
    both_hold_one = asyncio.Barrier(2)
    bodies = 0

    async def body(tx: Transaction, first: str, second: str) -> None:
        nonlocal bodies
        bodies += 1
        attempt = bodies
        await tx.execute("UPDATE idempotency_keys SET answer = $2 WHERE request_id = $1", first, first.encode())
        if attempt <= 2:
            await both_hold_one.wait()
        await tx.execute("UPDATE idempotency_keys SET answer = $2 WHERE request_id = $1", second, first.encode())

    await asyncio.gather(
        db.run(lambda tx: body(tx, "1", "2")),
        db.run(lambda tx: body(tx, "2", "1")),
    )
    assert bodies == 3
    assert await db.fetchval("SELECT count(DISTINCT answer) FROM idempotency_keys") == 1


@pytest.mark.requirement("S-26")
async def test_lost_connections_are_plumbing(db: Database) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)) as caught:
        async with db.transaction() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            await db.fetchval("SELECT pg_terminate_backend($1)", pid)
            await tx.execute("SELECT 1")
    assert is_broken_plumbing(caught.value)
    assert await count(db) == 0


@pytest.mark.requirement("S-26")
async def test_lock_and_statement_time_outs_are_plumbing(settings: ServiceSettings) -> None:
    short = {"lock_timeout_ms": 20, "statement_timeout_ms": 200}
    async with open_database(settings.model_copy(update=short)) as db:
        with pytest.raises(asyncpg.QueryCanceledError) as slow:
            await db.fetchval("SELECT pg_sleep(60)")
        async with db.transaction() as tx:
            await add(tx, "1")
            with pytest.raises(asyncpg.LockNotAvailableError) as locked:
                async with db.transaction() as other:
                    await add(other, "1")
    assert is_broken_plumbing(slow.value)
    assert is_broken_plumbing(locked.value)


@pytest.mark.requirement("S-26")
async def test_an_unreachable_server_is_plumbing(settings: ServiceSettings, unused_tcp_port: int) -> None:
    away = settings.model_copy(update={"database_url": f"postgresql://x@127.0.0.1:{unused_tcp_port}/x"})
    with pytest.raises(ConnectionRefusedError) as caught:
        await Database.connect(away)
    assert is_broken_plumbing(caught.value)


@pytest.mark.requirement("S-26")
@pytest.mark.parametrize(
    ("sql", "argument"),
    [
        ("SELECT nowhere FROM idempotency_keys WHERE request_id = $1", "1"),  # programming
        ("SELECT $1::bigint", "text"),  # wrong type
        ("SELECT 1", "one too many"),  # wrong count
        ("SELECT $1::text", "\0"),  # bad data (F-32)
        ("INSERT INTO idempotency_keys (caller) VALUES ($1)", "x"),  # constraint
    ],
)
async def test_wrong_statements_are_not_plumbing(db: Database, sql: str, argument: str) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
        await db.fetchval(sql, argument)
    assert not is_broken_plumbing(caught.value)


async def test_what_is_used_again_holds_no_rest_of_the_last_use(settings: ServiceSettings) -> None:
    async with open_database(settings.model_copy(update={"pool_size": 1})) as db:
        async with db.transaction() as tx:
            await tx.execute("SET LOCAL lock_timeout = 1")
        assert await db.fetchval("SELECT current_setting('lock_timeout')") == "5s"


async def test_closing_waits_for_what_is_in_use(settings: ServiceSettings) -> None:
    database = await Database.connect(settings)
    async with database.transaction() as tx:
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        await add(tx, "1")
        assert not closing.done()
    await closing


@pytest.mark.parametrize("in_transaction", [True, False])
async def test_the_row_that_an_error_is_about_is_not_in_its_text(db: Database, in_transaction: bool) -> None:
    """PostgreSQL tells the whole failing row: with an address in it, that ends in logs and incidents."""
    sql = (
        "INSERT INTO idempotency_keys (caller, method, request_id, body_hash, subject, phase, holder, lease_until)"
        " VALUES ('c', 'm', '1', 'short', 'Ada Lovelace', 'p', 'h', now())"
    )
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        if in_transaction:
            async with db.transaction() as tx:
                await tx.execute(sql)
        else:
            await db.fetch(sql)
    assert "Ada" not in str(caught.value) + repr(caught.value)
    assert "violates check constraint" in str(caught.value)
