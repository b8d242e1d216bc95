"""A child process: what a signal does to its parent while it is started."""

import subprocess
import sys
from pathlib import Path

from ops.local.paths import ROOT

# A signal that arrives just after the fork, before the parent goes on; without hooks of its own it comes too seldom.
INTERRUPTED = """
import logging, os, pathlib, signal, sys
from ops.local.child import Child

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, interrupt)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
child = None
try:
    child = Child("sleeper", ["sleep", "60"], log=pathlib.Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
else:
    child.kill()
"""
UNBLOCKED = """
import pathlib, signal, sys, time
from ops.local.child import Child
child = Child("sleeper", ["sleep", "60"], log=pathlib.Path(sys.argv[1]))
print(child.stop(timeout_seconds=20))
"""


def run(script: str, log: Path) -> str:
    command = [sys.executable, "-c", script, str(log)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout


def test_a_signal_during_the_fork_is_not_swallowed(tmp_path: Path) -> None:
    assert run(INTERRUPTED, tmp_path / "log") == "interrupted\n"


def test_a_child_hears_signals_that_its_parent_held_back(tmp_path: Path) -> None:
    assert run(UNBLOCKED, tmp_path / "log") == "-15\n"
