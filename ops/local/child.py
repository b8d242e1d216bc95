"""A process that lives no longer than the one that started it.

Why: whatever happens to a test run or to `onefold up`, also SIGKILL, nothing may be left running.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

# gRPC prepares every fork for a child that goes on with its threads. Ours calls exec at once, and a child that was born
# between two of gRPC's calls has hung in those preparations for ever.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

PR_SET_PDEATHSIG: Final = 1
POLL_SECONDS: Final = 0.02
OUTPUT_LENGTH: Final = 4_000  # the end of what a failed command said


class LocalStackError(Exception):
    """Something of the local stack could not start or stop; the text says what and where to look."""


class Process(Protocol):
    """What a Child needs of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or None."""

    def send_signal(self, number: int, /) -> None:
        """Nothing happens if it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""


class Child:
    """A started process with its log file. Start it on a thread that stays: the kernel ties it to that thread."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: str | None = None,
        group: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        inherits: Sequence[int] = (),
        process: "Process | None" = None,
    ) -> None:
        """Start `command`; its output is appended to `log`. `stop_signal` also tells it that its parent died.

        `inherits`: file descriptors that it keeps. `process`: it runs already.
        """
        self.name = name
        self.log = log
        self.command = [str(part) for part in command]
        self._stop_signal = stop_signal
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process: Process
        if process is not None:
            self._process = process
            return
        with log.open("ab") as output, _uninterrupted() as mask:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=None if environment is None else dict(environment),
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                start_new_session=True,
                pass_fds=inherits,
                preexec_fn=_dies_with_parent(stop_signal, mask),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait for `ready`. Raises LocalStackError with the log's end if the process ends or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self.exit_code is not None:
                raise LocalStackError(f"{self.name} ended with code {self.exit_code}:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"{self.name} was not ready in {timeout_seconds:g} s:\n{self.log_end()}")
            time.sleep(POLL_SECONDS)

    def log_end(self, lines: int = 20) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([*text.splitlines()[-lines:], f"(log: {self.log})"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone; SIGSTOP, SIGCONT and SIGKILL included. Nothing happens if it has ended."""
        self._process.send_signal(number)

    def ask_to_stop(self) -> None:
        """Send the stop signal and do not wait."""
        self.signal(self._stop_signal)

    def stop(self, *, timeout_seconds: float = 15.0) -> int:
        """Ask it to stop, wait, kill it when the time is up (with its group). Returns the exit code."""
        self.signal(signal.SIGCONT)
        self.ask_to_stop()
        return self.wait_or_kill(timeout_seconds=timeout_seconds)

    def wait_or_kill(self, *, timeout_seconds: float) -> int:
        """Wait for its end; kill it with its group when the time is up. Returns the exit code."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL to the process and all of its group."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()


def completed(
    what: str, command: Sequence[str | Path], *, timeout_seconds: float, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end and keep what it says. Raises LocalStackError when it fails or takes too long."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_seconds, **options)
    except subprocess.TimeoutExpired as error:
        raise LocalStackError(f"{what} took longer than {timeout_seconds:g} s:\n{_text(error.stderr)}") from None
    if done.returncode != 0:
        raise LocalStackError(f"{what} failed:\n{done.stdout[-OUTPUT_LENGTH:]}{done.stderr[-OUTPUT_LENGTH:]}")
    return done


def _text(output: str | bytes | None) -> str:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return text[-OUTPUT_LENGTH:]


@contextmanager
def _uninterrupted() -> Iterator[set[signal.Signals]]:
    """Hold signals back, and yield those that were held back before. An exception that a handler raises within Python's
    own hooks around a fork is swallowed there, and the lock that logging took for the fork is never given back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield {signal.Signals(number) for number in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _dies_with_parent(death_signal: signal.Signals, mask: set[signal.Signals]) -> Callable[[], None]:
    """What runs between fork and exec: Linux alone knows how to send a signal when the parent dies."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os._exit(1)

    return prepare
