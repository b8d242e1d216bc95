"""The audit's own promises: no law without a planted breach, and patience that forgives only what passes."""

from pathlib import Path

import pytest

import ops.audit.laws  # noqa: F401 - registers them
from ops.audit import text_of
from ops.audit.law import LAWS, Breach
from ops.audit.run import Verdict, still_standing

TESTS = Path(__file__).parents[2] / "component" / "ops"


@pytest.mark.requirement("R-6.4")
@pytest.mark.parametrize("name", [law.name for law in LAWS])
def test_every_law_has_a_planted_breach(name: str) -> None:
    assert any(f'"{name}:' in text for text in (path.read_text() for path in TESTS.glob("test_audit_*.py")))


def test_a_breach_is_one_line_with_its_ids() -> None:
    verdict = Verdict([Breach("law", "order-1", "is wrong"), Breach("law", "order-2", "too")], 3, 7, 1)
    assert text_of(verdict) == "law: order-1: is wrong\nlaw: order-2: too"
    assert text_of(Verdict([], 3, 7, 1)) == "3 laws hold over 7 events"


def test_only_what_was_found_at_every_look_stands() -> None:
    first = [Breach("law", "a", "1 of 2"), Breach("law", "b", "1 of 2")]
    second = [Breach("law", "b", "2 of 2"), Breach("law", "c", "new")]
    assert still_standing(first, second) == [Breach("law", "b", "2 of 2")]
