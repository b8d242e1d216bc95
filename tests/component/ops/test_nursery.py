"""A program that was forked is what it would be if it had been started: its own log, session, variables and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.local.child import Child
from ops.local.nursery import IS_POSSIBLE, SHARED, Nursery
from ops.local.paths import ROOT

pytestmark = [pytest.mark.serial, pytest.mark.skipif(not IS_POSSIBLE, reason="needs Linux")]

WITHIN_SECONDS = 20.0
PROGRAM = """
import os, sys, time
print(sys.argv[1:], os.environ["WORD"], os.getcwd(), os.getsid(0) == os.getpid(), "PYTEST_VERSION" in os.environ)
if sys.argv[1] == "waits":
    time.sleep(600)
sys.exit(int(sys.argv[1]))
"""
SUPERVISOR = """
import sys, time
from pathlib import Path
from ops.local.nursery import Nursery
folder = Path(sys.argv[1])
variables = {"PYTHONPATH": sys.argv[1], "WORD": "x", "PYTHONUNBUFFERED": "1"}
with Nursery(folder / "nursery.log", variables, folder) as nursery:
    print(nursery.start("p", ["program", "waits"], log=folder / "p.log", environment=variables).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def _nursery(folder: Path) -> Nursery:
    return Nursery(folder / "nursery.log", os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"}, ROOT)


def _started(nursery: Nursery, folder: Path, *arguments: str) -> Child:
    variables = {"WORD": "own", "PYTHONUNBUFFERED": "1"}
    return nursery.start("p", ["program", *arguments], log=folder / "p.log", environment=variables)


def test_a_program_has_its_arguments_variables_folder_session_log_and_exit_code(folder: Path) -> None:
    with _nursery(folder) as nursery:
        child = _started(nursery, folder, "3", "more")
        assert child.wait_or_kill(timeout_seconds=WITHIN_SECONDS) == 3
    assert (folder / "p.log").read_text() == f"['3', 'more'] own {ROOT} True False\n"


def test_a_program_outlives_the_nursery_and_can_be_stopped_and_killed(folder: Path) -> None:
    with _nursery(folder) as nursery:
        stopped, killed = _started(nursery, folder, "waits"), _started(nursery, folder, "waits")
    assert (stopped.exit_code, killed.exit_code) == (None, None)
    assert Path(f"/proc/{stopped.pid}/comm").read_text() == "p\n"
    assert stopped.stop() == -signal.SIGTERM
    assert killed.kill() == -signal.SIGKILL


def test_a_program_does_not_outlive_a_supervisor_that_is_killed(folder: Path) -> None:
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"}
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=variables
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    deadline = time.monotonic() + WITHIN_SECONDS
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_what_is_imported_beforehand_starts_no_thread() -> None:
    look = f"import importlib, os\nfor name in {SHARED!r}: importlib.import_module(name)\n"
    look += "print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "1\n"
