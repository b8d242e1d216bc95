"""`onefold up` and `onefold down`: what starts is seen from the first moment, and can be stopped at any."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from ops.local.environment import Ports, variable
from ops.local.paths import ROOT
from ops.up import is_running

pytestmark = pytest.mark.serial
WITHIN_SECONDS = 30.0
# An `onefold up` one of whose processes never gets ready.
STARTING = """
from functools import partial
from ops import up
up.Stack = partial(up.Stack, commands={"smtp": ["python", "-c", "import signal; signal.pause()"]})
up.up()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For commands that work on a stack of the test's own."""
    tmp_path.chmod(0o755)
    ports = {variable(name): str(port) for name, port in asdict(Ports.free()).items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("ONEFOLD_")}
    return others | ports | {"ONEFOLD_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so would every command that the tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begin(environment: dict[str, str], *command: str) -> "subprocess.Popen[str]":
    """A command that goes on, whose output the test reads."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe)


def down(environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ops", "down", *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=2 * WITHIN_SECONDS
    )


def await_file(path: Path) -> None:
    """Wait until something is written there."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_a_stack_that_is_starting_is_stopped_before_its_files_go(environment: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    with begin(environment, "-c", STARTING) as starting:
        await_file(state / "up.pid")
        await_file(state / "environment.json")
        assert is_running(state)
        stopped = down(environment, "--purge")
        assert (stopped.returncode, stopped.stdout.splitlines()[-1]) == (0, "stopped"), stopped
        assert starting.poll() is not None or starting.wait(WITHIN_SECONDS) == 0
        assert not is_running(state)
        assert list(state.iterdir()) == []
    assert down(environment).stdout == "nothing was running\n"


def test_a_second_one_is_refused_and_leaves_the_first_ones_marks(environment: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    with begin(environment, "-c", STARTING) as starting:
        await_file(state / "environment.json")
        (state / "ready").touch()
        with begin(environment, "-m", "ops", "up") as second:
            _, said = second.communicate(timeout=WITHIN_SECONDS)
        assert "is running already" in said
        assert (state / "ready").exists()
        assert down(environment, "--purge").returncode == 0
        starting.wait(WITHIN_SECONDS)


def test_who_waits_for_a_start_and_gives_up_ends_it(environment: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    with begin(environment, "-m", "ops", "up", "--detach") as parent:
        await_file(state / "up.pid")
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=2 * WITHIN_SECONDS)
        assert parent.returncode != 0
    assert not is_running(state)
    assert down(environment, "--purge").stdout == "nothing was running\n"


def test_who_cannot_be_stopped_is_an_error_and_no_endless_wait(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ops import up
    from ops.local.child import LocalStackError

    monkeypatch.setattr(up, "DOWN_SECONDS", 0.1)
    monkeypatch.setattr(up, "KILL_SECONDS", 0.1)
    with up._held(tmp_path / "state"):
        (tmp_path / "state" / "up.pid").write_text("")  # by somebody who never says who it is
        with pytest.raises(LocalStackError, match="cannot be stopped"):
            up._stop(tmp_path / "state")
