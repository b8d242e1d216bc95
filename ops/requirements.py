"""`make requirements`: each requirement and rule with the tests that name it.

Why: a guarantee that no test names is a hope.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.local.paths import ROOT

PAGE: Final = ROOT / "docs" / "requirements.md"
ROW: Final = re.compile(r"^\| ((?:R-\d+\.\d+)|(?:S-\d+)) \| (.+?) \| (road|later) \|$", re.MULTILINE)
FACT: Final = re.compile(r"F-\d+$")  # a measured fact of a vendor or a library; a test may name one
SHOWN_TESTS: Final = 4


@dataclass(frozen=True)
class Row:
    """One requirement or rule; `due` when it must have a test by now."""

    number: str
    title: str
    due: bool


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table (`--all`: every test); 1 when a due row has no test, or a test names an unknown number."""
    rows = read_rows(PAGE.read_text())
    tests = named_tests(ROOT / "tests")
    shown = sys.maxsize if "--all" in arguments else SHOWN_TESTS
    for row in rows:
        sys.stdout.write("\n".join(describe(row, tests.get(row.number, []), shown)) + "\n")
    problems = breaches(rows, tests)
    covered = sum(row.number in tests for row in rows)
    sys.stdout.write(f"\n{covered} of {len(rows)} have a test; {sum(row.due for row in rows)} must have one.\n")
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


def read_rows(page: str) -> list[Row]:
    """The rows of docs/requirements.md in their order."""
    return [Row(number, title, when == "road") for number, title, when in ROW.findall(page)]


def named_tests(folder: Path) -> dict[str, list[str]]:
    """Number to node ids of the tests that carry it as a marker, wherever the marker stands."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.rglob("test_*.py")):
        name = file.relative_to(folder.parent).as_posix()
        for place, number in _markers(ast.parse(file.read_text(), filename=name), name):
            if place not in found[number]:
                found[number].append(place)
    return dict(found)


def breaches(rows: Sequence[Row], tests: Mapping[str, Sequence[str]]) -> list[str]:
    """What makes the command fail, one line each."""
    missing = [f"no test names {row.number}: {row.title}" for row in rows if row.due and not tests.get(row.number)]
    known = {row.number for row in rows}
    unknown = [
        f"{places[0]} names {number}, which is not in {PAGE.name}"
        for number, places in tests.items()
        if number not in known and not FACT.match(number)
    ]
    return missing + unknown


def describe(row: Row, tests: Sequence[str], shown: int) -> Iterator[str]:
    """The lines for one row."""
    mark = " " if tests else "!" if row.due else "-"
    yield f"{mark} {row.number:<7} {row.title}{'' if row.due else ' (later)'}"
    yield from (f"            {test}" for test in tests[:shown])
    if len(tests) > shown:
        yield f"            and {len(tests) - shown} more"


def _markers(tree: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    """(node id, number) of every `pytest.mark.requirement(...)` below `tree`; a class or file marks all it holds."""
    for child in ast.iter_child_nodes(tree):
        inner = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{place}::{child.name}"
        if isinstance(child, ast.Call) and _is_marker(child.func):
            for argument in child.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield inner, argument.value
        yield from _markers(child, inner)


def _is_marker(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "requirement"
        and isinstance(function.value, ast.Attribute)
        and function.value.attr == "mark"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
