"""The audit's own promises: no law without a planted breach, and patience that forgives only what passes."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ops.audit.laws  # noqa: F401 - registers them
from ops.audit import exit_code, text_of
from ops.audit.law import LAWS, Breach
from ops.audit.run import Verdict, still_standing
from ops.audit.sources import Places

TESTS = Path(__file__).parents[2] / "component" / "ops"


def _expected(path: Path) -> Iterator[str]:
    """What the tests of a file assert to be found: strings in their assertions, or in what those or their rows name."""
    tree = ast.parse(path.read_text())
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq)]
    rows = [mark for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) for mark in node.decorator_list]
    used = {name.id for node in (*compared, *rows) for name in ast.walk(node) if isinstance(name, ast.Name)}
    targets = (node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign))
    named = [node for node in targets if {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & used]
    for node in (*compared, *named):
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


@pytest.mark.requirement("R-6.4")
def test_of_every_law_a_planted_breach_is_expected() -> None:
    expected = [text for path in TESTS.glob("test_audit_*.py") for text in _expected(path)]
    assert [law.name for law in LAWS if not any(text.startswith(f"{law.name}: ") for text in expected)] == []


def test_a_breach_is_one_line_with_its_ids() -> None:
    verdict = Verdict([Breach("law", "order-1", "is wrong"), Breach("law", "order-2", "too")], 3, 7, 1)
    assert text_of(verdict) == "law: order-1: is wrong\nlaw: order-2: too"
    assert text_of(Verdict([], 3, 7, 1)) == "3 laws hold over 7 events"


@pytest.mark.requirement("R-6.4")
def test_a_law_that_nobody_could_look_at_does_not_hold() -> None:
    verdict = Verdict([], 3, 7, 1, ["a_law (kafka, stripe)"])
    assert text_of(verdict) == "3 laws hold over 7 events\nnot looked at: a_law (kafka, stripe)"
    breach = Breach("law", "order-1", "is wrong")
    assert [exit_code(each) for each in (verdict, replace(verdict, breaches=[breach]), Verdict([], 3, 7, 1))] == [
        2,
        1,
        0,
    ]


LOCAL = {
    "ONEFOLD_SIMULATORS_PORT": "8090",
    "ONEFOLD_PAYMENTS_STRIPE_API_BASE": "http://127.0.0.1:8090/stripe",
    "ONEFOLD_FULFILLMENT_PRINTFUL_API_BASE": "http://127.0.0.1:8090/printful",
}


@pytest.mark.requirement("R-6.4")
def test_the_simulators_are_witnesses_only_of_what_they_simulate() -> None:
    local = Places.told_by(LOCAL)
    assert (local.stripe, local.printful) == (True, True)
    real = Places.told_by({**LOCAL, "ONEFOLD_PAYMENTS_STRIPE_API_BASE": "https://api.stripe.com"})
    assert (real.stripe, real.printful) == (False, True)


def test_only_what_was_found_at_every_look_stands() -> None:
    first = [Breach("law", "a", "1 of 2"), Breach("law", "b", "1 of 2")]
    second = [Breach("law", "b", "2 of 2"), Breach("law", "c", "new")]
    assert still_standing(first, second) == [Breach("law", "b", "2 of 2")]
