"""What the local stack tells its processes is what they ask for."""

import os
import tempfile
from pathlib import Path

import pytest

from ops.config import settings_classes
from ops.local import paths
from ops.local.child import LocalStackError
from ops.local.environment import SHORT_NAMES, Ports, Secrets, current, environment, keep, readiness, wishes
from ops.local.stack import Stack, procfile
from services.chassis.config import describe, service_of

STATE = Path("/nowhere/state")


def _variables() -> dict[str, str]:
    return environment(STATE, Ports(), Secrets.new())


def test_no_variable_is_set_that_its_process_does_not_know() -> None:
    for settings_class in settings_classes():
        known = {setting.variable for setting in describe(settings_class)}
        prefix = f"ONEFOLD_{service_of(settings_class).upper()}_"
        told = {name for name in _variables() if name.startswith(prefix) and not name.endswith("_TARGET")}
        assert told <= known | {f"{prefix}TOKEN"}, prefix


def test_each_required_setting_is_given() -> None:
    for settings_class in settings_classes():
        required = {setting.variable for setting in describe(settings_class) if setting.default == "required"}
        assert required <= _variables().keys()


def test_each_process_of_the_procfile_says_when_it_is_ready() -> None:
    assert readiness(Ports()).keys() == procfile().keys()


def test_two_stacks_share_no_secret_and_no_port() -> None:
    first, second = Secrets.new(), Secrets.new()
    assert not set(first.tokens.values()) & set(second.tokens.values())
    assert len(set(first.tokens.values())) == len(first.tokens)
    ports = Ports.free()
    assert len(set(vars(ports).values())) == len(vars(ports))


def test_a_port_of_the_environment_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFOLD_ORDERS_PORT", "6001")
    assert (Ports.chosen().orders, Ports.chosen().payments) == (6001, 50053)


def test_wishes_are_obeyed_but_for_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY", "sk_test_real")
    places = ("ORDERS_DATABASE_URL", "EMAILS_SMTP_HOST", "ANALYTICS_FOLDER", "SMTP_FOLDER", "ORDERS_TOPIC_PREFIX")
    for name in places:
        monkeypatch.setenv(f"ONEFOLD_{name}", "elsewhere")
    assert wishes()["ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY"] == "sk_test_real"
    assert "elsewhere" not in wishes().values()


def test_short_names_count_for_a_provider_that_is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_real")
    monkeypatch.setenv("PRINTFUL_TOKEN", "real")
    monkeypatch.delenv("ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY", raising=False)
    assert "sk_test_real" not in wishes().values()
    monkeypatch.setenv("ONEFOLD_PAYMENTS_STRIPE_API_BASE", "https://api.stripe.com")
    assert wishes()["ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY"] == "sk_test_real"
    assert "real" not in wishes().values()
    assert {long for names in SHORT_NAMES.values() for long in names.values()} <= _variables().keys()


def test_a_stack_obeys_nothing_that_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"ONEFOLD_PAYMENTS_STRIPE_API_BASE": "https://api.stripe.com", "ONEFOLD_EMAILS_SMTP_HOST": "mail.example"}
    for name, value in (real | {"STRIPE_SECRET_KEY": "sk_live_real", "ONEFOLD_ORDERS_TOPIC_PREFIX": "x"}).items():
        monkeypatch.setenv(name, value)
    stack = Stack(tmp_path, at=Ports.free(), commands={"show": ["python", "-c", "import os; print(dict(os.environ))"]})
    child = stack.start_process("show")
    child.wait_or_kill(timeout_seconds=20)
    shown = child.log_end()
    assert "ONEFOLD_PAYMENTS_STRIPE_API_BASE" in shown
    assert [word for word in ("api.stripe.com", "mail.example", "sk_live_real", "TOPIC_PREFIX") if word in shown] == []


def test_a_port_that_is_no_port_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("abc", "0", "70000", "-1"):
        monkeypatch.setenv("ONEFOLD_ORDERS_PORT", text)
        with pytest.raises(LocalStackError, match=f"ONEFOLD_ORDERS_PORT={text} is no port"):
            Ports.chosen()


def test_commands_find_the_running_stack_and_what_we_set_beats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEFOLD_PROFILE", raising=False)
    held = keep(tmp_path, {"ONEFOLD_PROFILE": "demo", "ONEFOLD_ORDERS_PORT": "1"})
    monkeypatch.setenv("ONEFOLD_ORDERS_PORT", "2")
    assert current(tmp_path)["ONEFOLD_PROFILE"] == "demo"
    assert current(tmp_path)["ONEFOLD_ORDERS_PORT"] == "2"
    assert (tmp_path / "environment.json").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("ONEFOLD_PAYMENTS_DATABASE_URL", "postgresql://production")
    assert "ONEFOLD_PROFILE" not in current(tmp_path), "what is half of another Onefold is not mixed with this one"
    monkeypatch.delenv("ONEFOLD_PAYMENTS_DATABASE_URL")
    held.close()
    assert "ONEFOLD_PROFILE" not in current(tmp_path), "a stack that has ended tells nobody where things are"


def test_secrets_are_kept_for_the_next_start(tmp_path: Path) -> None:
    assert Secrets.kept_in(tmp_path) == Secrets.kept_in(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_what_is_thrown_away_goes_to_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert paths.temporary_folder("x-", paths.in_memory()).parent == tmp_path  # no such place here
    (tmp_path / "memory").mkdir()
    assert paths.temporary_folder("x-", paths.in_memory()).parent == tmp_path / "memory"
    assert paths.temporary_folder("x-").parent == tmp_path
    monkeypatch.setattr(os, "ST_NOEXEC", -1)  # any flag
    assert paths.temporary_folder("x-", paths.in_memory()).parent == tmp_path
    monkeypatch.undo()
    monkeypatch.setattr(paths, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(paths, "ROOM_IN_MEMORY", 1 << 60)
    assert paths.temporary_folder("x-", paths.in_memory()).parent == tmp_path
