"""A new stack's databases are a copy of ones that were migrated before, and nobody can tell."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from ops.local import databases, paths, ports, prepared
from ops.local.environment import Secrets
from ops.local.postgres import Postgres

pytestmark = pytest.mark.serial


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and one service with one migration."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    _write(folder, "0001_create_first.sql", "CREATE TABLE first (id int);")
    monkeypatch.setenv("ONEFOLD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(databases, "MIGRATIONS", {"orders": folder})
    return folder


@pytest.fixture
def home() -> Iterator[Path]:
    folder = paths.temporary_folder("onefold-test-", paths.in_memory())
    yield folder
    paths.purge(folder)
    folder.rmdir()


def _write(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(f"-- migrate:up\n{sql}\n-- migrate:down\n")


def _laid_out(home: Path) -> Postgres:
    server = Postgres(home / "postgres", ports.free_port(), durable=False)
    prepared.lay_out(server)
    return server


def _made() -> list[str]:
    return [path.name for path in paths.cache_folder().glob(f"{prepared._prefix()}*/")]


def test_a_copy_has_all_tables_and_passwords_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _laid_out(home).purge()
    [made] = _made()
    server = _laid_out(home)
    assert _made() == [made]
    secrets = Secrets.new()
    monkeypatch.setattr(databases, "_dbmate", None)  # there is nothing left to apply
    try:
        server.start()
        access = asyncio.run(databases.prepare(server.dsn(), databases.MIGRATIONS, secrets.roles))["orders"]
        assert asyncio.run(_rows_of_first(access.serving)) == 0
        others = databases.access(server.dsn(), "orders", access.name, Secrets.new().roles)
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(_rows_of_first(others.serving))
    finally:
        server.purge()


async def _rows_of_first(dsn: str) -> int:
    database = await asyncpg.connect(dsn)
    try:
        return int(await database.fetchval("SELECT count(*) FROM first"))
    finally:
        await database.close()


def test_another_migration_makes_another_folder_and_removes_the_old_one(home: Path, small: Path) -> None:
    _laid_out(home).purge()
    [before] = _made()
    _write(small, "0002_create_second.sql", "CREATE TABLE second (id int);")
    _laid_out(home).purge()
    [after] = _made()
    assert before != after


def test_data_that_is_there_stays(home: Path) -> None:
    server = _laid_out(home)
    (server.place / "data" / "mine").touch()
    prepared.lay_out(server)
    assert (server.place / "data" / "mine").exists()
    server.purge()


def test_without_a_cache_to_write_to_a_server_begins_from_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ONEFOLD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    server = _laid_out(home)
    assert not server.is_initialised
    prepared.forget()


def test_what_was_prepared_can_be_forgotten(home: Path) -> None:
    _laid_out(home).purge()
    left = paths.cache_folder() / f".{prepared._prefix()}killed"
    left.mkdir()
    prepared.forget()
    assert (_made(), left.exists()) == ([], False)


async def test_a_loop_that_runs_already_is_no_obstacle(home: Path) -> None:
    server = _laid_out(home)
    assert server.is_initialised
    server.purge()
