"""`make requirements` finds markers wherever they stand, and fails where it must."""

from pathlib import Path

from ops.requirements import PAGE, Row, breaches, named_tests, read_rows

PAGE_TEXT = """\
| number | in short | when |
|---|---|---|
| R-1.1 | One order per payment | road |
| S-21 | Parcels by line | later |
"""


def test_rows_are_read_with_what_is_due() -> None:
    assert read_rows(PAGE_TEXT) == [Row("R-1.1", "One order per payment", True), Row("S-21", "Parcels by line", False)]


def test_the_page_of_the_project_has_every_number() -> None:
    numbers = [row.number for row in read_rows(PAGE.read_text())]
    assert len(numbers) == len(set(numbers)) == 100
    assert [number for number in numbers if number.startswith("S-")] == [f"S-{rule}" for rule in range(1, 33)]


def test_markers_are_found_on_functions_classes_files_and_parameters(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_all.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.requirement('S-1')]\n"
        "@pytest.mark.requirement('R-1.1', 'S-2')\n"
        "async def test_one(): ...\n"
        "@pytest.mark.requirement('S-3')\n"
        "class TestTwo:\n"
        "    @pytest.mark.requirement('S-4')\n"
        "    def test_three(self): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.requirement('S-5'))])\n"
        "def test_four(x): ...\n"
    )
    assert named_tests(folder) == {
        "S-1": ["tests/test_all.py"],
        "R-1.1": ["tests/test_all.py::test_one"],
        "S-2": ["tests/test_all.py::test_one"],
        "S-3": ["tests/test_all.py::TestTwo"],
        "S-4": ["tests/test_all.py::TestTwo::test_three"],
        "S-5": ["tests/test_all.py::test_four"],
    }


def test_a_due_row_without_a_test_and_an_unknown_number_are_breaches() -> None:
    rows = read_rows(PAGE_TEXT)
    assert breaches(rows, {"R-1.1": ["tests/a.py"], "F-9": ["tests/b.py"]}) == []
    assert breaches(rows, {"S-99": ["tests/a.py"]}) == [
        "no test names R-1.1: One order per payment",
        "tests/a.py names S-99, which is not in requirements.md",
    ]
