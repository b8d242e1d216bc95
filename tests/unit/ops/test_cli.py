"""The `onefold` command shows what is there and imports nothing before it is called."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from typer.testing import CliRunner

from ops.__main__ import COMMANDS, app
from ops.local.follow import Follower
from ops.local.paths import place_for, reachable_by_others, server_account


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160", "TERM": "dumb"})
    assert result.exit_code in (0, 2), result.output
    return result.output


def test_help_lists_each_command_that_is_there_with_a_sentence() -> None:
    shown = _run("--help")
    for name, target in COMMANDS.items():
        line = [line for line in shown.splitlines() if line.strip("│ ").startswith(f"{name} ")]
        assert bool(line) == (find_spec(target.partition(":")[0]) is not None), name
        assert not line or len(line[0].strip("│ ").split()) > 3, name


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "No such command 'fly'" in _run("fly")


def test_settings_are_shown_with_default_and_meaning() -> None:
    shown = _run("config", "inventory")
    assert "ONEFOLD_INVENTORY_DATABASE_URL = required" in shown
    assert "ONEFOLD_INVENTORY_HOLD_MS = 600000 (demo: 30000" in shown
    assert "ONEFOLD_PAYMENTS" not in shown


def test_the_command_itself_loads_no_service() -> None:
    code = "import ops.__main__, sys; print(sorted({'grpc', 'asyncpg', 'aiokafka', 'duckdb'} & sys.modules.keys()))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"


def test_a_follower_gives_new_whole_lines_only(tmp_path: Path) -> None:
    (tmp_path / "orders.log").write_text("old\n")
    follower = Follower(tmp_path, ["orders", "payments"])
    assert list(follower.lines()) == []
    with (tmp_path / "orders.log").open("a") as log:
        log.write("one\ntw")
        log.flush()
        assert list(follower.lines()) == [("orders", "one")]
        log.write("o\n")
    (tmp_path / "payments.log").write_text("first\n")
    assert list(follower.lines()) == [("orders", "two"), ("payments", "first")]


def test_a_server_that_may_not_walk_to_its_folder_gets_another(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not reachable_by_others(closed / "state")
    assert place_for(None, closed / "state") == closed / "state"
    account = server_account()
    if account is not None:
        assert place_for(account, closed / "state").parent == Path("/var/tmp")
