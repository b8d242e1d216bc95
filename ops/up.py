"""`onefold up` and `onefold down`: the local stack, kept running and ended.

Why: one command starts everything in order, says when it is ready and where it is, and leaves nothing behind.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from ops.local import paths, prepared
from ops.local.child import POLL_SECONDS, LocalStackError
from ops.local.environment import wishes
from ops.local.follow import Follower
from ops.local.stack import Stack

READY_SECONDS: Final = 240.0  # the first start fetches Kafka
DOWN_SECONDS: Final = 60.0
KILL_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 0.3
console = Console(highlight=False, soft_wrap=True)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running.")
    ] = False,
) -> None:
    """Start PostgreSQL, Kafka and every process; Ctrl-C stops them all."""
    state = paths.state_folder()
    try:
        if detach:
            _start_detached(state)
        else:
            _run(state)
    except LocalStackError as error:
        raise SystemExit(f"onefold: {error}") from error


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove databases, events, mails and logs.")] = False,
) -> None:
    """Stop what `onefold up` started, also if it is still starting; exit 2 if it cannot be stopped."""
    state = paths.state_folder()
    try:
        was_running = _stop(state)
        if purge and state.exists():
            with _held(state):
                paths.purge(state)
                prepared.forget()
    except LocalStackError as error:
        typer.echo(f"onefold: {error}", err=True)
        raise SystemExit(2) from error
    console.print("stopped" if was_running else "nothing was running")


def is_running(state: Path) -> bool:
    """Whether an `onefold up` holds this state, be it that it still starts."""
    try:
        with (state / "up.pid").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _stop(state: Path) -> bool:
    """Stop the supervisor that holds this state, if one does, and wait until it holds it no more."""
    if not is_running(state):
        return False
    console.print(f"stopping the stack of {state}")
    for number, seconds in ((signal.SIGTERM, DOWN_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        deadline, told = time.monotonic() + seconds, False
        while is_running(state):
            time.sleep(POLL_SECONDS)  # its number is written a moment after the lock was taken
            pid = _pid_in(state)
            if pid and not told:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)  # its children die with it
                told = True
            if time.monotonic() > deadline:
                break
        else:
            return True
    raise LocalStackError(f"the stack of {state} cannot be stopped: somebody still holds {state / 'up.pid'}")


def _pid_in(state: Path) -> int:
    """The process that `up.pid` names; 0 if it names none, or was purged meanwhile."""
    try:
        return int((state / "up.pid").read_text() or 0)
    except FileNotFoundError:
        return 0


def _run(state: Path) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _held(state):
            try:
                with Stack(state, extra=wishes(), report=_say) as stack:
                    (state / "ready").touch()
                    _show(stack)
                    if sys.stdout.isatty():
                        _show_calls(stack)
                    _watch(stack, Follower(state / "logs", stack.processes))
            finally:
                (state / "ready").unlink(missing_ok=True)
    except KeyboardInterrupt:
        console.print("stopped")


def _watch(stack: Stack, follower: Follower) -> None:
    """Show what the processes log until Ctrl-C; a process that ends by itself ends the stack."""
    while True:
        for name, line in follower.lines():
            sys.stdout.write(f"{name:>12} | {line}\n")
        sys.stdout.flush()
        for child in stack.dead():
            raise LocalStackError(f"{child.name} ended with code {child.exit_code}:\n{child.log_end()}")
        time.sleep(WATCH_SECONDS)


def _start_detached(state: Path) -> None:
    if is_running(state):
        raise LocalStackError(f"the stack of {state} is running already")
    log = state / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    (state / "ready").unlink(missing_ok=True)
    with log.open("w") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "ops", "up"],
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_SECONDS
    try:
        while not (state / "ready").exists():
            if supervisor.poll() is not None or time.monotonic() > deadline:
                raise LocalStackError(f"the stack did not start:\n{log.read_text()[-4000:]}")
            time.sleep(POLL_SECONDS)
    except BaseException:  # Ctrl-C does not reach it by itself: it has a session of its own
        supervisor.terminate()
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(DOWN_SECONDS)
        raise
    stack = Stack(state, extra=wishes())
    _show(stack)
    _show_calls(stack)
    console.print("It keeps running; `make down` stops it, `.venv/bin/onefold down --purge` forgets it.")


@contextmanager
def _held(state: Path) -> Iterator[None]:
    """Only one supervisor per state; `up.pid` says which, from the first moment on."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "up.pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError(f"the stack of {state} is running already") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def _show(stack: Stack) -> None:
    """Addresses, without any secret: a log may keep them."""
    at = stack.at
    rows = {
        "gateway": f"http://127.0.0.1:{at.gateway}/healthz",
        "gRPC": ", ".join(f"{name} 127.0.0.1:{getattr(at, name)}" for name in ("orders", "inventory")),
        "": ", ".join(f"{name} 127.0.0.1:{getattr(at, name)}" for name in ("payments", "fulfillment")),
        "simulators": f"http://127.0.0.1:{at.simulators}",
        "mails": f"http://127.0.0.1:{at.smtp_http}/mails",
        "PostgreSQL": f"127.0.0.1:{at.postgres} (passwords in {stack.state / 'secrets.json'})",
        "Kafka": f"127.0.0.1:{at.kafka}",
        "logs": str(stack.state / "logs"),
    }
    for name, place in rows.items():
        console.print(f"  {name:<12}{place}")


def _show_calls(stack: Stack) -> None:
    """Three calls to try, one with a token."""
    at = stack.at
    console.print("Try:")
    token = stack.secrets.tokens["demo"]
    for line in (
        f"grpcurl -plaintext -max-time 5 -H 'authorization: Bearer {token}' -d '{{\"page_size\": 5}}'"
        f" 127.0.0.1:{at.orders} onefold.orders.v1.OrdersService/ListOrders",
        f"curl -s http://127.0.0.1:{at.orders_health}/metrics",
        f"curl -s http://127.0.0.1:{at.smtp_http}/mails?limit=1",
    ):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    console.print(text)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
