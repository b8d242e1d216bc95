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
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from rich.console import Console

from ops.local import paths
from ops.local.child import POLL_SECONDS, LocalStackError
from ops.local.follow import Follower
from ops.local.stack import Stack

READY_SECONDS: Final = 240.0  # the first start fetches Kafka
DOWN_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 0.3
console = Console(highlight=False, soft_wrap=True)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running.")
    ] = False,
) -> None:
    """Start PostgreSQL, Kafka and every process; Ctrl-C stops them all."""
    state = paths.state_folder()
    if detach:
        _start_detached(state)
    else:
        _run(state)


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove databases, events, mails and logs.")] = False,
) -> None:
    """Stop what `onefold up` started."""
    state = paths.state_folder()
    pid = running_supervisor(state)
    if pid is not None:
        console.print(f"stopping the stack of {state}")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while running_supervisor(state) is not None or _exists(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)  # its children die with it
            time.sleep(POLL_SECONDS)
    if purge:
        paths.purge(state)
    console.print("stopped" if pid is not None else "nothing was running")


def running_supervisor(state: Path) -> int | None:
    """Process id of the `onefold up` that holds this state, if one does."""
    path = state / "up.pid"
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None
    return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _run(state: Path) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _held(state) as pid_file, Stack(state, report=_say) as stack:
            pid_file.write(str(os.getpid()))
            pid_file.flush()
            (state / "ready").touch()
            _show(stack)
            _watch(stack, Follower(state / "logs", stack.processes))
    except KeyboardInterrupt:
        console.print("stopped")
    except LocalStackError as error:
        raise SystemExit(f"onefold: {error}") from error
    finally:
        (state / "ready").unlink(missing_ok=True)


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
    if running_supervisor(state) is not None:
        raise SystemExit(f"onefold: the stack of {state} is running already")
    state.mkdir(parents=True, exist_ok=True)
    log = state / "logs" / "up.log"
    log.parent.mkdir(exist_ok=True)
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
    while not (state / "ready").exists():
        if supervisor.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"onefold: the stack did not start:\n{log.read_text()[-4000:]}")
        time.sleep(POLL_SECONDS)
    _show(Stack(state))
    console.print("It keeps running; `make down` stops it, `.venv/bin/onefold down --purge` forgets it.")


@contextmanager
def _held(state: Path) -> Iterator[IO[str]]:
    """Only one supervisor per state."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "up.pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError(f"the stack of {state} is running already") from None
        file.truncate(0)
        yield file
        file.truncate(0)


def _show(stack: Stack) -> None:
    """Addresses, and three calls to try."""
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
