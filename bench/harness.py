"""Rounds, statistics, goals met or missed, and how results are told.

Why: our way, its peer and its limit take turns within one session, so that whatever else the machine does falls on all
three alike, and a median with its spread says how far a figure can be trusted.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from bench.goals import Goal
from bench.shortfalls import SHORTFALLS

OURS: Final = "ours"
PEER: Final = "peer"
LIMIT: Final = "limit"
NO_REASON: Final = "nobody has found out why yet"
KEYS: Final = (
    *("name", "unit", "ours", "peer", "limit", "ours_over_peer", "ours_over_limit"),
    *("p50_ms", "p99_ms", "rounds", "goal_peer", "goal_limit", "met"),
)


class WrongCount(Exception):
    """A side did not leave behind what it says that it did, so its time counts for nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each side runs in a round, and how many rounds are counted; one more before them warms up."""

    seconds: float = 3.0
    rounds: int = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One side in one round: units of work done in `seconds`, how long single ones took, CPU of all processes."""

    done: float
    seconds: float
    latencies_s: Sequence[float] = ()
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.done / self.seconds


Side = Callable[[float], Awaitable[Sample]]
Samples = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Result:
    """What a benchmark found. Ratios are medians of the rounds' ratios; `notes` are lines for people."""

    name: str
    unit: str
    goal: Goal
    ours: Spread
    peer: Spread | None = None
    limit: Spread | None = None
    over_peer: Spread | None = None
    over_limit: Spread | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    peer_p99_ms: float | None = None
    rounds: int = 1
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def met(self) -> bool:
        """Whether every goal is reached; one without a figure is not."""
        pairs = ((self.goal.peer, self.over_peer), (self.goal.limit, self.over_limit))
        return self._p99_met and all(
            goal is None or (reached is not None and _reaches(reached.median, goal, self.goal.at_most))
            for goal, reached in pairs
        )

    @property
    def _p99_met(self) -> bool:
        if self.goal.p99_peer is None:
            return True
        return bool(self.p99_ms and self.peer_p99_ms and self.p99_ms / self.peer_p99_ms <= self.goal.p99_peer)

    def as_json(self) -> str:
        """One line with exactly KEYS; what is missing is null."""
        values: dict[str, Any] = {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours.median,
            "peer": self.peer and self.peer.median,
            "limit": self.limit and self.limit.median,
            "ours_over_peer": self.over_peer and self.over_peer.median,
            "ours_over_limit": self.over_limit and self.over_limit.median,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "rounds": self.rounds,
            "goal_peer": self.goal.peer,
            "goal_limit": self.goal.limit,
            "met": self.met,
        }
        return json.dumps({key: _rounded(values[key]) for key in KEYS})


async def interleaved(sides: Mapping[str, Side], plan: Plan) -> dict[str, list[Sample]]:
    """Let the sides take turns, in another order each round; the first round only warms up."""
    names = list(sides)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(plan.rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            sample = await sides[name](plan.seconds if number else min(plan.seconds, 1.0))
            if number:
                samples[name].append(sample)
    return samples


def by_rate(name: str, unit: str, goal: Goal, samples: Samples, notes: Sequence[str] = ()) -> Result:
    """A benchmark whose figure is units per second."""
    rates = {side: [sample.rate for sample in found] for side, found in samples.items()}
    ours = rates[OURS]
    latencies = sorted(each for sample in samples[OURS] for each in sample.latencies_s)
    peers = sorted(each for sample in samples.get(PEER, ()) for each in sample.latencies_s)
    return Result(
        name=name,
        unit=unit,
        goal=goal,
        ours=Spread.of(ours),
        peer=_spread(rates.get(PEER)),
        limit=_spread(rates.get(LIMIT)),
        over_peer=ratios(ours, rates.get(PEER)),
        over_limit=ratios(ours, rates.get(LIMIT)),
        p50_ms=_ms(latencies, 0.5),
        p99_ms=_ms(latencies, 0.99),
        peer_p99_ms=_ms(peers, 0.99),
        rounds=len(ours),
        notes=notes,
    )


def ratios(ours: Sequence[float], others: Sequence[float] | None) -> Spread | None:
    """Ours divided by the other's, round by round."""
    return Spread.of([mine / other for mine, other in zip(ours, others, strict=True)]) if others else None


def percentile(ascending: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed."""
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]


def require(what: str, found: float, expected: float) -> None:
    """Raise WrongCount unless both are equal: the check of rows that every side passes."""
    if found != expected:
        raise WrongCount(f"{what}: {found:g} found, {expected:g} expected")


def table(results: Sequence[Result]) -> str:
    """All results for people: figures with their spread, ratios with their goals, and why a goal is missed."""
    head = ("benchmark", "unit", "ours", "peer", "limit", "ours/peer", "ours/limit", "p50 ms", "p99 ms", "met")
    rows = [head, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {result.name}: {note}" for result in results for note in result.notes]
    missed = [result.name for result in results if not result.met]
    shortfalls = [f"  {name} falls short: {SHORTFALLS.get(name, NO_REASON)}" for name in missed]
    return "\n".join([*lines, *notes, *shortfalls])


def told(spread: Spread) -> str:
    """The median, and in brackets the lowest and the highest."""
    return f"{_short(spread.median)} ({_short(spread.low)}..{_short(spread.high)})"


def _row(result: Result) -> tuple[str, ...]:
    sign = "<=" if result.goal.at_most else ">="
    return (
        result.name,
        result.unit,
        _figure(result.ours),
        _figure(result.peer),
        _figure(result.limit),
        _ratio(result.over_peer, result.goal.peer, sign),
        _ratio(result.over_limit, result.goal.limit, sign),
        "-" if result.p50_ms is None else f"{result.p50_ms:.2f}",
        "-" if result.p99_ms is None else f"{result.p99_ms:.2f}",
        "yes" if result.met else "no",
    )


def _figure(spread: Spread | None) -> str:
    return "-" if spread is None else told(spread)


def _ratio(spread: Spread | None, goal: float | None, sign: str) -> str:
    if spread is None:
        return "-"
    wanted = "" if goal is None else f" [{sign} {_short(goal)}]"
    return f"{told(spread)}{wanted}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _reaches(value: float, goal: float, at_most: bool) -> bool:
    return value <= goal if at_most else value >= goal


def _spread(values: Sequence[float] | None) -> Spread | None:
    return Spread.of(values) if values else None


def _ms(ascending: Sequence[float], share: float) -> float | None:
    return percentile(ascending, share) * 1000 if ascending else None


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
