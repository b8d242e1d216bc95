"""One PostgreSQL and one Kafka for a whole test run, started when the first test wants them.

Why: the workers of `pytest -n 4` come and go, so a server belongs to a keeper process of its own; it lives as long as
the run holds its lock, which the kernel gives back even if the run is killed.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from ops.local import paths
from ops.local.child import POLL_SECONDS, LocalStackError
from ops.local.paths import ROOT

RUN_VARIABLE: Final = "ONEFOLD_TEST_RUN"
START_SECONDS: Final = 120.0  # Kafka's first start downloads it
STOP_SECONDS: Final = 30.0


class Run:
    """The folder of one test run; held by the process that began it."""

    def __init__(self) -> None:
        """Begin a run: later processes find it through the environment."""
        self.folder = paths.temporary_folder("onefold-test-", paths.in_memory())
        self._lock = (self.folder / "run.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.environ[RUN_VARIABLE] = str(self.folder)

    def end(self) -> None:
        """Give the lock back, wait until the keepers have stopped their servers, remove the folder."""
        os.environ.pop(RUN_VARIABLE, None)
        self._lock.close()
        deadline = time.monotonic() + STOP_SECONDS
        while any(self.folder.glob("*.keeper")) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def run_folder() -> Path:
    """The folder of the run that this process belongs to."""
    return Path(os.environ[RUN_VARIABLE])


def exclusively(name: str) -> AbstractContextManager[None]:
    """One process of the run at a time."""
    return paths.exclusively(run_folder() / f"{name}.lock")


def server(kind: str) -> dict[str, Any]:
    """What the run's `postgres` or `kafka` says of itself, started first if need be."""
    facts = run_folder() / f"{kind}.json"
    with exclusively(f"{kind}.start"):
        if not facts.exists():
            _start_keeper(kind, facts)
    found: dict[str, Any] = json.loads(facts.read_text())
    return found


def _start_keeper(kind: str, facts: Path) -> None:
    log = run_folder() / f"{kind}.keeper.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "ops.local.shared", kind]
        keeper = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while not facts.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise LocalStackError(f"{kind} for the tests did not start:\n{log.read_text(errors='replace')}")
        time.sleep(POLL_SECONDS)


def _keep(kind: str) -> None:
    """The keeper: start the server, say where it is, stop it when the run is over."""
    folder = run_folder()
    mark = folder / f"{kind}.keeper"
    mark.touch()
    try:
        stop, found = _start_postgres(folder) if kind == "postgres" else _start_kafka(folder)
        fresh = folder / f"{kind}.json.fresh"
        fresh.write_text(json.dumps(found))
        fresh.rename(folder / f"{kind}.json")
        with (folder / "run.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits for the end of the run
        stop()
    finally:
        mark.unlink(missing_ok=True)
    if not any(folder.glob("*.keeper")):
        shutil.rmtree(folder, ignore_errors=True)  # the run was killed; the last one clears up


def _start_postgres(folder: Path) -> tuple[Any, dict[str, Any]]:
    from ops.local.ports import free_port
    from ops.local.postgres import Postgres

    durable = os.environ.get("ONEFOLD_TEST_DURABLE") == "1"  # flow tests that crash the server start their own
    postgres = Postgres(folder / "postgres", free_port(), durable=durable, log=folder / "postgres.log").start()
    return postgres.purge, {"dsn": postgres.dsn(), "pid": postgres.pid}


def _start_kafka(folder: Path) -> tuple[Any, dict[str, Any]]:
    from ops.local.kafka import Kafka
    from ops.local.ports import free_port

    kafka = Kafka(folder / "kafka", free_port(), log=folder / "kafka.log").start()
    return kafka.purge, {"bootstrap": kafka.bootstrap, "pid": kafka.pid}


if __name__ == "__main__":
    _keep(sys.argv[1])
