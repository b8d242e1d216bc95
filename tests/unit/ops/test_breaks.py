"""`make breaks` reads its patches right, and is not content with less than red."""

from pathlib import Path

import pytest

from ops import breaks


def test_it_reads_the_tests_of_the_header_alone(tmp_path: Path) -> None:
    patch = tmp_path / "R-1.1.patch"
    patch.write_text(
        "# Why: removes the constraint\n# Test: tests/a.py::test_one\n# Test:  tests/b.py::test_two[x y]\n"
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-# Test: tests/c.py::not_this\n+y\n"
    )
    assert breaks.parse(patch) == breaks.Break("R-1.1", patch, ("tests/a.py::test_one", "tests/b.py::test_two[x y]"))


@pytest.mark.parametrize(
    ("exit_code", "output", "problem"),
    [
        (1, "FAILED tests/a.py::test_one - assert 1 == 2\nFAILED tests/a.py::test_two[a - b]\n", ""),
        (1, "FAILED tests/a.py::test_one\n", "stayed green: tests/a.py::test_two"),
        (1, "FAILED tests/a.py::test_one\nFAILED tests/a.py::test_twofold\n", "stayed green: tests/a.py::test_two"),
        (1, "FAILED tests/a.py::test_one\nERROR tests/a.py::test_two\n", "stayed green: tests/a.py::test_two"),
        (0, "2 passed\n", "stayed green: tests/a.py::test_one, tests/a.py::test_two"),
        (2, "ERROR tests/a.py\n", "its tests did not run (pytest ended with 2)"),
        (4, "no tests ran\n", "its tests did not run (pytest ended with 4)"),
    ],
)
def test_each_named_test_must_fail(exit_code: int, output: str, problem: str) -> None:
    assert breaks.judge(("tests/a.py::test_one", "tests/a.py::test_two"), exit_code, output) == problem


def test_a_patch_without_tests_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "R-1.1.patch").write_text("diff --git a/x b/x\n")
    assert "names no test" in breaks.try_break(breaks.parse(tmp_path / "R-1.1.patch")).problem


def test_a_patch_that_does_not_apply_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "R-1.1.patch").write_text(
        "# Test: tests/a.py::test_one\n--- a/Procfile\n+++ b/Procfile\n@@ -1 +1 @@\n-never there\n+other\n"
    )
    assert breaks.try_break(breaks.parse(tmp_path / "R-1.1.patch")).problem == "does not apply"
