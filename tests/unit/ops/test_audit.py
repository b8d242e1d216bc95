"""The audit's own promises: no law without a planted breach, and patience that forgives only what passes."""

from dataclasses import replace
from pathlib import Path

import pytest

import ops.audit.laws  # noqa: F401 - registers them
from ops.audit import exit_code, text_of
from ops.audit.law import LAWS, Breach
from ops.audit.run import Verdict, still_standing
from ops.audit.sources import Places

TESTS = Path(__file__).parents[2] / "component" / "ops"


@pytest.mark.requirement("R-6.4")
@pytest.mark.parametrize("name", [law.name for law in LAWS])
def test_every_law_has_a_planted_breach(name: str) -> None:
    assert any(f'"{name}:' in text for text in (path.read_text() for path in TESTS.glob("test_audit_*.py")))


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
