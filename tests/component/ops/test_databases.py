"""Databases of the local stack: each test has its own, and a serving role cannot change the schema."""

from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from ops.local import databases
from ops.local.child import LocalStackError
from ops.local.databases import Access


async def test_two_clones_do_not_see_each_other(database: Callable[[str], Access]) -> None:
    first, second = database("chassis"), database("chassis")
    writer = await asyncpg.connect(first.owner)
    await writer.execute("CREATE TABLE seen_by_me_alone (id int)")
    await writer.close()
    reader = await asyncpg.connect(second.owner)
    assert await reader.fetchval("SELECT to_regclass('seen_by_me_alone')") is None
    await reader.close()


async def test_serving_role_reads_and_writes_rows_and_nothing_else(database: Callable[[str], Access]) -> None:
    access = database("chassis")
    serving = await asyncpg.connect(access.serving)
    assert await serving.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    for statement in (
        "CREATE TABLE mine (id int)",
        "DROP TABLE idempotency_keys",
        "TRUNCATE idempotency_keys",
        "DELETE FROM chassis_migrations",
        "DELETE FROM migration_files",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await serving.execute(statement)
    await serving.close()


async def test_serving_role_has_limits_and_custom_plans(database: Callable[[str], Access]) -> None:
    serving = await asyncpg.connect(database("chassis").serving)
    assert await serving.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    assert await serving.fetchval("SHOW statement_timeout") == "30s"
    assert await serving.fetchval("SHOW lock_timeout") == "10s"
    assert await serving.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
    await serving.close()


def _write(folder: Path, name: str, sql: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"-- migrate:up\n{sql}\n-- migrate:down\n")


async def test_first_migrations_of_two_folders_both_run(database: Callable[[str], Access], tmp_path: Path) -> None:
    """dbmate keeps one table of versions; with one for both, the second 0001 would be skipped (F-52)."""
    access = database("chassis")
    _write(tmp_path / "m", "0001_create_first.sql", "CREATE TABLE first (id int);")
    _write(tmp_path / "m", "0002_create_second.sql", "CREATE TABLE second (id int);")
    await databases.migrate(access.owner, tmp_path / "m")
    await databases.migrate(access.owner, tmp_path / "m")  # nothing left to do
    owner = await asyncpg.connect(access.owner)
    assert await owner.fetchval("SELECT to_regclass('first') IS NOT NULL AND to_regclass('second') IS NOT NULL")
    await owner.close()


async def test_an_edited_migration_is_refused(database: Callable[[str], Access], tmp_path: Path) -> None:
    access = database("chassis")
    _write(tmp_path / "m", "0001_create_first.sql", "CREATE TABLE first (id int);")
    await databases.migrate(access.owner, tmp_path / "m")
    _write(tmp_path / "m", "0001_create_first.sql", "CREATE TABLE first (id bigint);")
    with pytest.raises(LocalStackError, match=r"migrations 0001 of .* were edited"):
        await databases.migrate(access.owner, tmp_path / "m")


async def test_an_applied_migration_is_remembered_though_the_next_one_failed(
    database: Callable[[str], Access], tmp_path: Path
) -> None:
    access = database("chassis")
    _write(tmp_path / "m", "0001_create_first.sql", "CREATE TABLE first (id int);")
    _write(tmp_path / "m", "0002_break.sql", "SELECT nonsense;")
    with pytest.raises(LocalStackError, match="nonsense"):
        await databases.migrate(access.owner, tmp_path / "m")
    _write(tmp_path / "m", "0001_create_first.sql", "CREATE TABLE first (id bigint);")
    with pytest.raises(LocalStackError, match="were edited"):
        await databases.migrate(access.owner, tmp_path / "m")
