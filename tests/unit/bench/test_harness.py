"""Statistics, goals and what is told of a benchmark; no figure is measured here."""

import json

import pytest

from bench import harness
from bench.agreement import compare
from bench.goals import GOALS, Goal
from bench.harness import KEYS, LIMIT, OURS, PEER, Plan, Sample, Side
from bench.load import closed_loop
from bench.shortfalls import SHORTFALLS

HUNDRED = Sample(100, 1.0, [0.001] * 99 + [0.1])


def _result(goal: Goal, ours: float, peer: float | None = None, limit: float | None = None) -> harness.Result:
    rates = {OURS: ours, PEER: peer, LIMIT: limit}
    samples = {side: [Sample(rate, 1.0)] for side, rate in rates.items() if rate is not None}
    return harness.by_rate("some", "units/s", goal, samples)


def test_the_goals_are_those_that_were_set() -> None:
    assert {name: (goal.peer, goal.limit) for name, goal in GOALS.items()} == {
        "order-create": (6, 0.8),
        "order-batch": (18, 0.6),
        "hot-sku": (25, 0.5),
        "outbox-drain": (25, 0.8),
        "outbox-latency": (1 / 40, 25),
        "inbox": (30, 0.6),
        "webhook": (5, 0.6),
        "checkout": (None, 0.25),
        "growth": (1.1, None),
        "idle": (None, 1),
    }
    assert GOALS["hot-sku"].p99_peer == 1 / 50


async def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def side(name: str) -> Side:
        async def run(seconds: float) -> Sample:
            order.append(name)
            return Sample(seconds, 1.0)

        return run

    samples = await harness.interleaved({name: side(name) for name in "abc"}, Plan(seconds=2, rounds=3))
    assert "".join(order) == "abcbcacababc"
    assert [sample.done for sample in samples["a"]] == [2, 2, 2]


def test_medians_spread_and_ratios_by_round() -> None:
    samples = {OURS: [Sample(rate, 1.0) for rate in (10, 30, 20)], PEER: [Sample(rate, 1.0) for rate in (5, 10, 4)]}
    result = harness.by_rate("some", "units/s", Goal(peer=3), samples)
    assert (result.ours.low, result.ours.median, result.ours.high) == (10, 20, 30)
    assert result.over_peer is not None
    assert (result.over_peer.low, result.over_peer.median, result.over_peer.high) == (2, 3, 5)
    assert result.met


@pytest.mark.parametrize(
    "goal, peer, limit, met",
    [
        (Goal(peer=6, limit=0.8), 10, 100, True),
        (Goal(peer=6, limit=0.8), 20, 100, False),
        (Goal(peer=6, limit=0.8), 10, 200, False),
        (Goal(peer=6, limit=0.8), None, 100, False),
        (Goal(limit=0.8), None, 100, True),
        (Goal(peer=1.1, at_most=True), 100, None, True),
        (Goal(peer=1.1, at_most=True), 50, None, False),
        (Goal(peer=6, p99_peer=0.02), 10, None, False),
    ],
)
def test_a_goal_is_met_or_not(goal: Goal, peer: float | None, limit: float | None, met: bool) -> None:
    assert _result(goal, 90, peer, limit).met is met


def test_p99_beside_the_peers() -> None:
    slow = Sample(10, 1.0, [5.0] * 10)
    assert harness.by_rate("some", "", Goal(peer=6, p99_peer=0.02), {OURS: [HUNDRED], PEER: [slow]}).met
    assert not harness.by_rate("some", "", Goal(peer=6, p99_peer=0.01), {OURS: [HUNDRED], PEER: [slow]}).met


def test_json_has_exactly_the_keys_and_null_for_what_is_missing() -> None:
    told = json.loads(_result(Goal(limit=0.8), 90, None, 100).as_json())
    assert tuple(told) == KEYS
    assert (told["peer"], told["ours_over_peer"], told["goal_peer"], told["p50_ms"]) == (None, None, None, None)
    assert (told["ours"], told["ours_over_limit"], told["met"], told["rounds"]) == (90, 0.9, True, 1)


def test_the_table_shows_spread_goal_and_notes() -> None:
    text = harness.table([_result(Goal(peer=6, limit=0.8), 90, 10, 100)])
    assert "9 (9..9) [>= 6]" in text and "0.9 (0.9..0.9) [>= 0.8]" in text and text.rstrip().endswith("yes")


def test_the_table_says_why_a_goal_is_missed() -> None:
    missed = harness.by_rate("inbox", "", Goal(peer=6), {OURS: [HUNDRED], PEER: [HUNDRED]})
    assert f"inbox falls short: {SHORTFALLS['inbox']}" in harness.table([missed])
    assert SHORTFALLS.keys() == GOALS.keys()


def test_a_wrong_count_is_an_error() -> None:
    harness.require("rows", 3, 3)
    with pytest.raises(harness.WrongCount, match="rows: 2 found, 3 expected"):
        harness.require("rows", 2, 3)


async def test_callers_finish_what_they_began() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    sample = await closed_loop(work, in_flight=4, seconds=0.01, units=10)
    assert sample.done == 10 * len(done) and len(sample.latencies_s) == len(done)


@pytest.mark.parametrize(
    "others, verdict",
    [
        ((25, 45), ("0.35 (0.25..0.45)", "agree, their spreads meet")),
        ((15, 23), ("0.19 (0.15..0.23)", "agree, each median within the other's spread")),
        ((31, 50), ("0.405 (0.31..0.5)", "DO NOT AGREE")),
        ((1, 9), ("0.05 (0.01..0.09)", "DO NOT AGREE")),
    ],
)
def test_two_runs_agree_where_their_spreads_meet(others: tuple[float, float], verdict: tuple[str, str]) -> None:
    first, second = (
        harness.by_rate("some", "units/s", Goal(), {OURS: [Sample(rate, 1.0) for rate in rates], PEER: [HUNDRED] * 2})
        for rates in ((10, 30), others)
    )
    (pair,) = compare([first], [second])
    assert str(pair) == f"some ours/peer: 0.2 (0.1..0.3), {': '.join(verdict)}"
    assert pair.agrees is verdict[1].startswith("agree")
