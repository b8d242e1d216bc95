"""The house rules see what they are for."""

from pathlib import Path

import pytest

from ops.house_rules import check


def _breaches(root: Path, name: str, content: str) -> list[str]:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)
    return list(check(root, [Path(name)]))


def test_long_files_and_functions(tmp_path: Path) -> None:
    assert _breaches(tmp_path, "a.py", "x = 1\n" * 300) == []
    assert _breaches(tmp_path, "a.py", "x = 1\n" * 301) == ["a.py:1: 301 lines, at most 300: split it by noun"]
    assert _breaches(tmp_path, "a.py", "def f():\n" + "    x = 1\n" * 69) == []
    assert _breaches(tmp_path, "a.py", "def f():\n" + "    x = 1\n" * 70) == ["a.py:1: f has 71 lines, at most 70"]


@pytest.mark.parametrize("name", ["services/orders/domain.py", "services/orders/domain/states.py"])
def test_a_domain_imports_the_standard_library_and_itself_alone(tmp_path: Path, name: str) -> None:
    pure = (
        "import re\nfrom datetime import UTC\nfrom services.orders.domain.units import Unit\nfrom .facts import Fact\n"
    )
    assert _breaches(tmp_path, name, pure) == []
    for impure in ("import asyncpg", "from services.chassis.db import Database", "from onefold.orders import v1"):
        assert "standard library only" in _breaches(tmp_path, name, impure)[0]


def test_what_is_no_domain_may_import(tmp_path: Path) -> None:
    assert _breaches(tmp_path, "services/orders/store.py", "import asyncpg\n") == []


def test_registries_and_paths_of_one_machine(tmp_path: Path) -> None:
    host = "python" + "hosted.org"  # in two parts, because this file may not name it either
    assert "names a registry" in _breaches(tmp_path, "a.md", f"see https://files.{host}/x")[0]
    assert "names a registry" in _breaches(tmp_path, "requirements.txt", "--find-links /opt/wheels")[0]
    assert "names a registry" in _breaches(tmp_path, "a.md", "cd /root/onefold")[0]
    assert _breaches(tmp_path, "a.md", "https://onefold.example" + "/work" + "/order") == []
