"""Databases, roles and migrations of the services.

Why: every service has a database of its own, with one role that owns the schema and one that may only read and write
rows, in development exactly as in production.
"""

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from ops.local.child import LocalStackError, completed
from ops.local.paths import ROOT

CHASSIS: Final = "chassis"
CHASSIS_MIGRATIONS: Final = ROOT / "services" / "chassis" / "migrations"
MIGRATIONS: Final[Mapping[str, Path]] = {
    **{name: ROOT / "services" / name / "migrations" for name in ("orders", "inventory", "payments", "fulfillment")},
    "emails": ROOT / "consumers" / "emails" / "migrations",
}
MIGRATE_SECONDS: Final = 60.0
VERSION: Final = re.compile(r"^(\d+)_\w+\.sql$")

# What a serving role gets besides rows: sane limits also for connections that set none (F-28), and plans that
# fit the rows that are there, not the ones that were there at the first call (F-57).
SERVING_SETTINGS: Final = {
    "plan_cache_mode": "force_custom_plan",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
REMEMBER_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS migration_files (
        folder text NOT NULL, version text NOT NULL, sha256 text NOT NULL, PRIMARY KEY (folder, version)
    )"""
REMEMBER_FILE: Final = """
    INSERT INTO migration_files (folder, version, sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"""
TABLES: Final = {CHASSIS: "chassis_migrations", "service": "schema_migrations"}  # where dbmate keeps what it applied


@dataclass(frozen=True)
class Access:
    """The two addresses of one database: `serving` reads and writes rows, `owner` changes the schema."""

    name: str
    serving: str
    owner: str


def database_of(service: str) -> str:
    """`onefold_orders`: the database, and also its serving role; the owning role ends in `_owner`."""
    return f"onefold_{service}"


def access(dsn: str, service: str, database: str, passwords: Mapping[str, str]) -> Access:
    """Addresses on the server of `dsn` for `database` with the roles of `service`."""
    server = urlsplit(dsn)

    def address(role: str) -> str:
        return f"postgresql://{role}:{passwords[role]}@{server.hostname}:{server.port}/{database}"

    role = database_of(service)
    return Access(database, address(role), address(f"{role}_owner"))


def roles_of(service: str) -> tuple[str, str]:
    """The serving and the owning role."""
    return database_of(service), f"{database_of(service)}_owner"


async def create(dsn: str, service: str, passwords: Mapping[str, str], database: str = "") -> Access:
    """Create roles and database of a service where they are missing. `dsn`: superuser; `passwords`: by role."""
    name = database or database_of(service)
    serving, owner = roles_of(service)
    server = await asyncpg.connect(dsn)
    try:
        for role in (serving, owner):
            await _ensure_role(server, role, passwords[role])
        for setting, value in SERVING_SETTINGS.items():
            await server.execute(f"ALTER ROLE {serving} SET {setting} = '{value}'")
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await server.execute(f'CREATE DATABASE "{name}" OWNER {owner}')
            await server.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            await server.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {serving}')
    finally:
        await server.close()
    result = access(dsn, service, name, passwords)
    schema = await asyncpg.connect(result.owner)
    try:
        await schema.execute(f"GRANT USAGE ON SCHEMA public TO {serving}")
        await schema.execute(
            f"ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {serving};"
            f"ALTER DEFAULT PRIVILEGES GRANT USAGE, SELECT ON SEQUENCES TO {serving}"
        )
    finally:
        await schema.close()
    return result


async def migrate(owner_dsn: str, folder: Path | None) -> None:
    """Bring a database up: the chassis' migrations first, in their own table (F-52), then those of `folder`.

    Raises LocalStackError when a migration fails, or when a file was edited after it had been applied.
    """
    folders = {CHASSIS: CHASSIS_MIGRATIONS} | ({"service": folder} if folder is not None else {})
    for name, path in folders.items():
        if await _is_behind(owner_dsn, name, path):
            try:
                await asyncio.to_thread(_dbmate, owner_dsn, name, path)
            finally:
                await _remember(owner_dsn, name, path)


def digest(*services: str) -> str:
    """SHA-256 of all migrations that make the databases of these services, the chassis' included."""
    folders = [CHASSIS_MIGRATIONS, *(MIGRATIONS.get(service, CHASSIS_MIGRATIONS) for service in services)]
    files = [path for folder in folders for path in sorted(folder.glob("*.sql"))]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


async def prepare(dsn: str, services: Mapping[str, Path], passwords: Mapping[str, str]) -> dict[str, Access]:
    """Create and migrate the databases of several services, given with their migrations' folders."""

    async def one(service: str, folder: Path) -> Access:
        result = await create(dsn, service, passwords)
        await migrate(result.owner, folder)
        return result

    results = await asyncio.gather(*(one(service, folder) for service, folder in services.items()))
    return dict(zip(services, results, strict=True))


async def _ensure_role(server: "asyncpg.Connection[asyncpg.Record]", role: str, password: str) -> None:
    known = await server.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    quoted = password.replace("'", "''")
    await server.execute(f"{'ALTER' if known else 'CREATE'} ROLE {role} LOGIN PASSWORD '{quoted}'")


def _dbmate(owner_dsn: str, name: str, folder: Path) -> None:
    command = [str(Path(sys.executable).parent / "dbmate"), "--env-file", os.devnull, "--no-dump-schema"]
    command += [
        "--migrations-dir",
        str(folder),
        "--migrations-table",
        TABLES[name],
        "--migration-lock",
        "migrate",
        "--strict",
    ]
    completed(
        f"the migration of {folder}",
        command,
        timeout_seconds=MIGRATE_SECONDS,
        env={"PATH": os.defpath, "DATABASE_URL": f"{owner_dsn}?sslmode=disable"},  # not argv: others could read it
    )


def _files(folder: Path) -> dict[str, str]:
    """Version to digest of every migration."""
    found = {match[1]: path for path in folder.iterdir() if (match := VERSION.match(path.name))}
    return {version: hashlib.sha256(path.read_bytes()).hexdigest() for version, path in sorted(found.items())}


async def _is_behind(owner_dsn: str, name: str, folder: Path) -> bool:
    """Whether a file waits to be applied. dbmate knows versions only and would not notice an edit (F-52)."""
    database = await asyncpg.connect(owner_dsn)
    try:
        await database.execute("SELECT pg_advisory_lock(hashtext('migration_files'))")  # CREATE IF NOT EXISTS races
        await database.execute(REMEMBER_TABLE)
        rows = await database.fetch("SELECT version, sha256 FROM migration_files WHERE folder = $1", name)
    finally:
        await database.close()
    files = _files(folder)
    edited = [row["version"] for row in rows if files.get(row["version"]) != row["sha256"]]
    if edited:
        raise LocalStackError(
            f"migrations {', '.join(edited)} of {folder} were edited or removed after they had been applied;"
            " add a new migration instead (or `onefold down --purge` for a local database)"
        )
    return len(rows) < len(files)


async def _remember(owner_dsn: str, name: str, folder: Path) -> None:
    """Note what each applied file looked like, and let nobody but the owner write the notes."""
    serving = urlsplit(owner_dsn).username or ""
    database = await asyncpg.connect(owner_dsn)
    try:
        if await database.fetchval("SELECT to_regclass($1)", TABLES[name]) is None:
            return  # dbmate failed before it made its table
        applied = {row["version"] for row in await database.fetch(f"SELECT version FROM {TABLES[name]}")}
        rows = [(name, version, digest) for version, digest in _files(folder).items() if version in applied]
        await database.executemany(REMEMBER_FILE, rows)
        for table in (TABLES[name], "migration_files"):
            await database.execute(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {serving.removesuffix('_owner')}")
    finally:
        await database.close()
