"""Starts Python programs by fork, from one process that has imported what they share.

Why: nine processes that import the same modules one by one are half of a stack's start on two cores. The nursery lives
for the start only; what it brought up is then a child of the supervisor like any other.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

from ops.local.child import POLL_SECONDS, PR_SET_PDEATHSIG, Child, LocalStackError

PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
IS_POSSIBLE: Final = sys.platform == "linux"
MESSAGE_BYTES: Final = 1 << 18
ANSWER_SECONDS: Final = 60.0
ADOPTION_SECONDS: Final = 10.0
SERVICES: Final = ("orders", "inventory", "payments", "fulfillment")
# None of them may start a thread when it is imported: a fork would lose it.
SHARED: Final = (
    *(f"services.{name}.{room}" for name in SERVICES for room in ("config", "rpc", "events", "jobs")),
    *(f"services.chassis.{room}" for room in ("roles", "grpc_server", "consumer.rebalance", "outbox.publisher")),
    "gateway.app",
    "gateway.http",
    "consumers.emails.jobs",
    "consumers.emails.events",
    "simulators.app",
    "ops.local.smtp_view",
)


class Nursery:
    """From `with` to its end it starts programs; use it from the main thread."""

    def __init__(self, log: Path, environment: Mapping[str, str], folder: Path) -> None:
        """Begin to import; nobody waits for it yet."""
        self._folder = folder
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.settimeout(ANSWER_SECONDS)
        with theirs:
            self._child = Child(
                "nursery",
                [sys.executable, "-m", "ops.local.nursery", str(theirs.fileno())],
                log=log,
                environment=environment,
                folder=folder,
                inherits=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        _subreaper(True)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._child.stop()
        _subreaper(False)

    def start(self, name: str, program: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Child:
        """Start `python -m PROGRAM...` with its output in `log`. Raises LocalStackError."""
        wanted: dict[str, Any] = {"name": name, "program": program, "environment": dict(environment)}
        wanted |= {"log": str(log), "folder": str(self._folder), "parent": os.getpid()}
        try:
            self._connection.send(json.dumps(wanted).encode())
            pid = int(self._connection.recv(MESSAGE_BYTES) or 0)
        except OSError as error:
            raise LocalStackError(f"{name} could not be started: {error!r}\n{self._child.log_end()}") from error
        if not pid:
            raise LocalStackError(f"{name} could not be started:\n{self._child.log_end()}")
        return Child(name, ["python", "-m", *program], log=log, process=Adopted(pid))


class Adopted:
    """A process that was forked elsewhere and became our child; the part of Popen that a Child needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout if timeout is not None else None
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(POLL_SECONDS / 4)
        return code


def _subreaper(on: bool) -> None:
    """Whether grandchildren whose parents have ended become our children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def main(connection: socket.socket) -> None:
    """Import, then fork for each request; the program runs in the fork, as if it had been started there."""
    for module in SHARED:
        import_module(module)
    gc.freeze()
    while request := connection.recv(MESSAGE_BYTES):
        wanted = json.loads(request)
        between = os.fork()
        if between == 0:
            if os.fork() != 0:
                os._exit(0)
            _become(wanted, connection)
            runpy.run_module(wanted["program"][0], run_name="__main__", alter_sys=True)
            return
        os.waitpid(between, 0)


def _become(wanted: Mapping[str, Any], connection: socket.socket) -> None:
    """What a Child's process is: of a session, a log and an environment of its own, and gone with its parent."""
    os.setsid()
    os.chdir(wanted["folder"])
    with Path(wanted["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        for stream, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(stream.fileno(), target)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = wanted["program"]
    deadline = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != wanted["parent"] and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 20)
    system = ctypes.CDLL(None)
    system.prctl(PR_SET_NAME, wanted["name"].encode(), 0, 0, 0)  # what `top` shows
    system.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != wanted["parent"]:  # it has ended
        os._exit(1)
    connection.send(str(os.getpid()).encode())
    connection.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(socket.socket(fileno=int(sys.argv[1])))
