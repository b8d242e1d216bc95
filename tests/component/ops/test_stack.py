"""The whole local stack: it starts in order, says what is wrong, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from ops.local.child import LocalStackError
from ops.local.environment import Ports
from ops.local.paths import ROOT
from ops.local.stack import Stack, is_ready, procfile

SINK = {"smtp": ["python", "-m", "ops.local.smtp"]}
WITHIN_SECONDS = 15.0

pytestmark = pytest.mark.serial


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def _stack(folder: Path, **changes: object) -> Stack:
    return Stack(folder / "state", at=Ports.free(), commands=SINK, **changes)  # type: ignore[arg-type]


def test_it_starts_and_stops_and_keeps_its_data(tmp_path: Path) -> None:
    stack = _stack(tmp_path)
    for expected in (1, 2):
        with stack:
            pids = [stack.postgres.pid, stack.kafka.pid, stack.processes["smtp"].pid]
            assert is_ready(f"http://127.0.0.1:{stack.at.smtp_http}/healthz")
            stack.postgres.restart()
            assert _count_starts(stack) == expected
        assert all(_gone(pid) for pid in pids)
    stack.postgres.purge()


def _count_starts(stack: Stack) -> int:
    async def count() -> int:
        database = await asyncpg.connect(stack.postgres.dsn())
        try:
            await database.execute("CREATE TABLE IF NOT EXISTS starts ()")
            await database.execute("INSERT INTO starts DEFAULT VALUES")
            return int(await database.fetchval("SELECT count(*) FROM starts"))
        finally:
            await database.close()

    from ops.local.blocking import blocking

    return blocking(count())


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    stack = _stack(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.at.gateway))
        other.listen()
        with pytest.raises(LocalStackError, match=rf"port {stack.at.gateway} for gateway.*ONEFOLD_GATEWAY_PORT"):
            stack.start()


def test_a_process_that_dies_at_its_start_shows_its_log_and_stops_the_rest(tmp_path: Path) -> None:
    stack = Stack(
        tmp_path / "state",
        at=Ports.free(),
        commands={**SINK, "gateway": ["python", "-c", "raise SystemExit('no luck')"]},
    )
    with pytest.raises(LocalStackError, match=r"gateway ended with code 1:\nno luck"), stack:
        pass
    assert not is_ready(f"http://127.0.0.1:{stack.at.smtp_http}/healthz")
    stack.postgres.purge()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_supervisor_that_is_stopped_or_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = f"""
import pathlib, signal, sys, time
from ops.local.stack import Stack
from ops.local.environment import Ports
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Stack(pathlib.Path({str(tmp_path / "state")!r}), at=Ports.free(), commands={SINK!r}) as stack:
    print(stack.postgres.pid, stack.kafka.pid, stack.processes["smtp"].pid, flush=True)
    time.sleep(60)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert supervisor.stdout is not None
    pids = [int(pid) for pid in supervisor.stdout.readline().split()]
    assert len(pids) == 3
    os.kill(supervisor.pid, how)
    supervisor.wait()
    supervisor.stdout.close()
    survivors = [pid for pid in pids if not _gone(pid)]
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert survivors == []
    Stack(tmp_path / "state", at=Ports.free()).postgres.purge()


def test_the_procfile_names_the_nine_processes() -> None:
    assert list(procfile()) == [
        *("orders", "inventory", "payments", "fulfillment", "gateway", "emails", "analytics", "simulators", "smtp")
    ]
