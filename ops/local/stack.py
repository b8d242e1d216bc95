"""The whole local stack: PostgreSQL, Kafka, databases, topics and every process of the Procfile.

Why: `onefold up`, the demo and the tests need the same ordered start and the same clean end.
"""

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO, Final, Self
from urllib.error import URLError
from urllib.request import urlopen

from ops.local import databases, nursery, prepared, topics
from ops.local.blocking import blocking
from ops.local.child import POLL_SECONDS, Child
from ops.local.environment import Ports, Profile, Secrets, environment, keep, readiness
from ops.local.kafka import Kafka
from ops.local.paths import ROOT
from ops.local.postgres import Postgres

PROCFILE: Final = ROOT / "Procfile"
NEED_NO_SERVER: Final = ("gateway", "simulators", "smtp")  # these start while PostgreSQL and Kafka do
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
HTTP_SECONDS: Final = 1.0


def quietly(_: str) -> None:
    """Reports nothing."""


def procfile(path: Path = PROCFILE) -> dict[str, list[str]]:
    """Name to command of each process, in the file's order."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return {name.strip(): shlex.split(command) for name, _, command in pairs}


@dataclass
class Stack:
    """Files in `state`; `extra` variables beat its own, and of what is exported it obeys nothing. Nothing of a
    `throwaway` is kept, so its processes need not come to an end in good order. Without `forks` each process imports
    for itself, as in production.

    Use it from the main thread: `with Stack(...) as stack`.
    """

    state: Path
    at: Ports = field(default_factory=Ports.chosen)
    profile: Profile = "demo"
    extra: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True
    throwaway: bool = False
    forks: bool = nursery.IS_POSSIBLE
    report: Callable[[str], None] = quietly
    commands: Mapping[str, Sequence[str]] = field(default_factory=procfile)
    processes: dict[str, Child] = field(default_factory=dict)
    _kept: IO[str] | None = field(default=None, repr=False)
    _nursery: nursery.Nursery | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self.secrets = Secrets.kept_in(self.state)
        self.environment = environment(self.state, self.at, self.secrets, self.profile) | dict(self.extra)
        self.postgres = Postgres(self.state / "postgres", self.at.postgres, self.durable)
        self.kafka = Kafka(self.state / "kafka", self.at.kafka)

    def __enter__(self) -> Self:
        """Start everything; whatever goes wrong, nothing stays."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Servers, databases and topics, then every process of the Procfile; returns when all are ready."""
        self.at.require_free()
        self._kept = keep(self.state, self.environment)
        self.report(f"starting PostgreSQL, Kafka and {len(self.commands)} processes")
        early = [name for name in self.commands if name in NEED_NO_SERVER]
        with self._forking():
            self.start_servers(beside=early)
            for name in self.commands:
                if name not in early:
                    self.start_process(name)
        self.wait_ready(list(self.commands))

    def start_servers(self, beside: Sequence[str] = ()) -> None:
        """PostgreSQL and Kafka with migrated databases and all topics; meanwhile the processes `beside` are started."""
        self.kafka.begin()  # it takes longest
        prepared.lay_out(self.postgres)
        self.postgres.start()
        with ThreadPoolExecutor(1) as thread:
            migrated = thread.submit(self._prepare_databases)
            for name in beside:
                self.start_process(name)
            self.kafka.wait()
            migrated.result()
        blocking(topics.create(self.kafka.bootstrap))

    def start_process(self, name: str, command: Sequence[str] = (), *, extra: Mapping[str, str] | None = None) -> Child:
        """Start one process and do not wait: that of the Procfile, or any `command`; `extra` variables are its own."""
        command = command or self.commands[name]
        log, variables = self.state / "logs" / f"{name}.log", self._variables(extra or {})
        if self._nursery is not None and command[:2] == ["python", "-m"]:
            child = self._nursery.start(name, command[2:], log=log, environment=variables)
        else:
            program = sys.executable if command[0] == "python" else command[0]
            child = Child(name, [program, *command[1:]], log=log, environment=variables, folder=ROOT)
        self.processes[name] = child
        return child

    @contextmanager
    def _forking(self) -> Iterator[None]:
        """Processes that are started meanwhile come from a nursery, where there is one."""
        if not self.forks or len(self.commands) < 2:
            yield
            return
        log = self.state / "logs" / "nursery.log"
        with nursery.Nursery(log, self._variables({}), ROOT) as self._nursery:
            try:
                yield
            finally:
                self._nursery = None

    def _variables(self, extra: Mapping[str, str]) -> dict[str, str]:
        not_ours = ("ONEFOLD_", "STRIPE_", "PRINTFUL_", "PYTHONDONTWRITEBYTECODE")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(not_ours)}
        return inherited | self.environment | {"PYTHONUNBUFFERED": "1", **extra}

    def wait_ready(self, names: Sequence[str], *, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until each named process of the Procfile says that it is ready. Raises LocalStackError with its log."""
        places = readiness(self.at)
        deadline = time.monotonic() + timeout_seconds
        for name in names:
            left = max(deadline - time.monotonic(), POLL_SECONDS)
            self.processes[name].wait_until(partial(is_ready, places[name]), timeout_seconds=left)

    def dead(self) -> list[Child]:
        """Processes that ended by themselves."""
        return [child for child in self.processes.values() if child.exit_code is not None]

    def stop(self) -> None:
        """Stop the processes, last started first, then Kafka, then PostgreSQL."""
        self.report("stopping")
        running = [child for child in reversed(self.processes.values()) if child.exit_code is None]
        for child in running:
            if self.throwaway:
                child.kill()
            else:
                child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            child.wait_or_kill(timeout_seconds=max(deadline - time.monotonic(), POLL_SECONDS))
        self.processes.clear()
        if self.throwaway:
            self.kafka.purge()
        else:
            self.kafka.stop()
        self.postgres.stop()
        if self._kept is not None:  # what it told commands is no longer so
            self._kept.close()
            self._kept = None

    def _prepare_databases(self) -> None:
        work = databases.prepare(self.postgres.dsn(), databases.MIGRATIONS, self.secrets.roles)
        asyncio.run(work)


def is_ready(url: str) -> bool:
    """Whether the address answers 200."""
    try:
        with urlopen(url, timeout=HTTP_SECONDS) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, HTTPException):  # the last one: something else answers on that port
        return False
