"""The `onefold` command shows what is there and imports nothing before it is called."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumers.analytics import parquet
from ops.__main__ import COMMANDS, app
from ops.local.child import LocalStackError, completed
from ops.local.follow import Follower
from ops.local.paths import place_for, reachable_by_others, server_account
from tests.component.consumers import records
from tests.component.consumers.records import row


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160", "TERM": "dumb"})
    assert result.exit_code in (0, 2), result.output
    return result.output


def test_help_lists_each_command_with_a_sentence() -> None:
    shown = _run("--help")
    for name in COMMANDS:
        line = [line for line in shown.splitlines() if line.strip("│ ").startswith(f"{name} ")]
        assert len(line[0].strip("│ ").split()) > 3, name


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "No such command 'fly'" in _run("fly")


def test_settings_are_shown_with_default_and_meaning() -> None:
    shown = _run("config", "inventory")
    assert "ONEFOLD_INVENTORY_DATABASE_URL = required" in shown
    assert "ONEFOLD_INVENTORY_HOLD_MS = 600000 (demo: 30000" in shown
    assert "ONEFOLD_PAYMENTS" not in shown


def test_every_setting_is_shown_and_a_mistyped_process_is_told_the_names() -> None:
    shown = _run("config")
    for name in ("STATE_DIR", "CACHE_DIR", "KAFKA_PORT", "POSTGRES_PORT", "OPERATOR_PAYMENTS_TARGET", "OPERATOR_TOKEN"):
        assert f"  ONEFOLD_{name} = " in shown
    variables = [line.split(" = ")[0] for line in shown.splitlines() if line.startswith("  ONEFOLD_")]
    doubled = {name for name in variables if variables.count(name) > 1}
    assert doubled == {"  ONEFOLD_PROFILE"}
    wrong = CliRunner().invoke(app, ["config", "warehouse"])
    assert (wrong.exit_code, "warehouse is none of orders, inventory" in wrong.output) == (2, True)


def test_an_archive_that_is_not_there_is_no_empty_answer(tmp_path: Path) -> None:
    wrong = CliRunner().invoke(app, ["analytics", "orders", "--folder", str(tmp_path / "typo")])
    assert (wrong.exit_code, "there is no archive" in wrong.output) == (2, True)
    rows = [row(records.created(f"o{at}"), key=f"o{at}", offset=at) for at in range(3)]
    parquet.write(tmp_path, rows)
    ask = ["analytics", "orders", "--folder", str(tmp_path), "--limit"]
    for limit, more in (("2", True), ("3", False)):
        assert ("there are more" in CliRunner().invoke(app, [*ask, limit]).output) == more


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


def test_a_command_that_hangs_or_fails_is_a_clear_error() -> None:
    hangs = [sys.executable, "-c", "import signal; signal.pause()"]
    with pytest.raises(LocalStackError, match=r"initdb took longer than 0\.1 s"):
        completed("initdb", hangs, timeout_seconds=0.1)
    with pytest.raises(LocalStackError, match=r"initdb failed:\nno luck"):
        completed("initdb", [sys.executable, "-c", "raise SystemExit('no luck')"], timeout_seconds=20)


def test_a_server_that_may_not_walk_to_its_folder_gets_another(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not reachable_by_others(closed / "state")
    assert place_for(None, closed / "state") == closed / "state"
    account = server_account()
    if account is not None:
        assert place_for(account, closed / "state").parent == Path("/var/tmp")
