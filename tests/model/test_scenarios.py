"""Every interleaving of one order keeps the laws of `checks`, in every scenario (S-32)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from tests.model.explorer import Report
from tests.model.scenarios import SCENARIOS, Scenario, walk

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
MANY_STATES = 20_000


def name_of(scenario: Scenario) -> str:
    return scenario.name.replace(",", "").replace(" ", "-")


def named(*names: str) -> pytest.MarkDecorator:
    chosen = [BY_NAME[name] for name in names]
    return pytest.mark.parametrize("scenario", [pytest.param(each, id=name_of(each)) for each in chosen])


def walked(scenario: Scenario) -> Report:
    report = walk(scenario)
    if report.breach is not None:
        pytest.fail(f"{scenario.name}: {report.breach}", pytrace=False)
    assert report.complete
    assert report.rests
    print(report)  # noqa: T201 the count of states is part of the proof
    return report


def ends(report: Report) -> set[str]:
    """States in which orders came to rest; `!` marks an incident."""
    return set(report.endings)


@named("create", "lapse", "pay", "act", "processing", "fail", "fail and cancel")
@pytest.mark.requirement("S-1", "S-2", "S-7", "S-8", "S-9", "S-32", "R-2.9", "R-2.12")
def test_paying_and_not_paying(scenario: Scenario) -> None:
    report = walked(scenario)
    assert any(end.startswith("CANCELLED(EXPIRED)") for end in ends(report))
    assert scenario.name == "create" or "DELIVERED" in ends(report)


@named("authorize", "capture refused")
@pytest.mark.requirement("S-11", "S-17", "S-32", "R-1.21", "R-2.10")
def test_authorized_first(scenario: Scenario) -> None:
    assert "CANCELLED(PAYMENT_FAILED)" in ends(walked(scenario))


@named("cancel", "cancel, told twice")
@pytest.mark.requirement("S-2", "S-8", "S-9", "S-11", "S-30", "S-32", "R-2.10", "R-3.6")
def test_cancelled_while_paying(scenario: Scenario) -> None:
    assert {"CANCELLED(CUSTOMER)", "CANCELLED(EXPIRED)", "DELIVERED"} <= ends(walked(scenario))


@named(
    "late money",
    "late money, cancelled",
    "late money, paid twice",
    "late money, archived",
)
@pytest.mark.requirement("S-2", "S-11", "S-14", "S-18", "S-32", "R-1.16")
def test_money_that_comes_late(scenario: Scenario) -> None:
    assert "DELIVERED reopened!" in ends(walked(scenario)) or "ARCHIVED reopened!" in ends(walk(scenario))


@named("mismatch", "mismatch of currency", "too much")
@pytest.mark.requirement("S-14", "S-17", "S-18", "S-32", "R-1.15")
def test_money_that_differs(scenario: Scenario) -> None:
    report = walked(scenario)
    waits_for_a_person = "PENDING!" in ends(report)
    assert waits_for_a_person or "DELIVERED!" in ends(report)


@named("out of stock", "backorder", "backorder, queued")
@pytest.mark.requirement("S-2", "S-7", "S-19", "S-20", "S-32", "R-1.16", "R-3.2")
def test_stock_that_is_gone(scenario: Scenario) -> None:
    assert {"CANCELLED(STOCK)!", "DELIVERED"} <= ends(walked(scenario))


@named("shares", "shares, late", "shares, cancelled")
@pytest.mark.requirement("S-14", "S-17", "S-32", "R-1.16", "R-1.19")
def test_shares(scenario: Scenario) -> None:
    assert {"CANCELLED(EXPIRED)", "DELIVERED"} <= ends(walked(scenario))


@named("submit", "submit, provider fails", "not made", "address missing", "provider holds")
@pytest.mark.requirement("S-10", "S-32", "R-4.2", "R-4.3", "R-4.7")
def test_submission_in_doubt(scenario: Scenario) -> None:
    assert "DELIVERED" in ends(walked(scenario))


@named(
    "cancel during submission",
    "cancel, create appears late",
    "cancel after submission",
    "cancel, told twice after submission",
    "answers change nothing",
    "draft removed",
)
@pytest.mark.requirement("S-8", "S-10", "S-11", "S-30", "S-32", "R-2.10", "R-4.7")
def test_cancelled_while_the_goods_are_made(scenario: Scenario) -> None:
    assert {"CANCELLED(ADMIN)", "DELIVERED"} <= ends(walked(scenario))


@named(
    "refund",
    "refund before shipping",
    "refund fails",
    "refund fails, tried again",
    "refund fails, made at the dashboard",
    "part shipped, refunded",
)
@pytest.mark.requirement("S-11", "S-18", "S-19", "S-32", "R-1.12", "R-3.6")
def test_money_given_back(scenario: Scenario) -> None:
    report = walked(scenario)
    assert ends(report) & {"REFUNDED!", "REFUNDED(REFUNDED)", "CANCELLED(ADMIN)!"}


@named("dispute", "dispute and cancel", "part shipped, disputed", "return, disputed")
@pytest.mark.requirement("S-18", "S-23", "S-32", "R-1.22")
def test_disputes(scenario: Scenario) -> None:
    assert {"CANCELLED(DISPUTE_LOST)!", "DELIVERED!"} <= ends(walked(scenario))


@named(
    "part shipped",
    "part shipped, rest cancelled there",
    "part shipped, rest not made",
    "lost",
    "return",
    "return, odd amounts",
    "part shipped, odd amounts",
)
@pytest.mark.requirement("S-11", "S-19", "S-21", "S-32", "R-1.20", "R-4.6", "R-4.8")
def test_several_parcels(scenario: Scenario) -> None:
    assert {"DELIVERED", "REFUNDED"} & ends(walked(scenario))


def test_every_scenario_is_walked_by_a_test() -> None:
    tests = [value for name, value in globals().items() if name.startswith("test_") and callable(value)]
    walked_names = {parameter.values[0].name for test in tests for mark in _marks(test) for parameter in mark.args[1]}
    assert walked_names == set(BY_NAME)


@named("create", "pay", "mismatch", "cancel, told twice after submission", "refund", "part shipped")
def test_the_reduction_loses_no_ending(scenario: Scenario) -> None:
    whole = walk(dataclasses.replace(scenario), reduced=False)
    reduced = walk(scenario)
    assert whole.breach is None
    assert ends(whole) == ends(reduced)
    assert whole.rests == reduced.rests
    assert reduced.states <= whole.states


def test_the_model_is_not_empty() -> None:
    assert walk(BY_NAME["cancel"]).states > MANY_STATES


def _marks(test: Any) -> Iterable[Any]:
    return [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
