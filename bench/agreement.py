"""Whether two runs say the same: their ratios side by side.

Why: a figure that another run contradicts is no figure; one command measures twice and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.harness import Result, Spread, told


@dataclass(frozen=True, slots=True)
class Pair:
    """One ratio of one benchmark, measured by two runs."""

    what: str
    first: Spread
    second: Spread

    @property
    def agrees(self) -> bool:
        """Whether the rounds of one run reach to those of the other."""
        return self.first.low <= self.second.high and self.second.low <= self.first.high

    @property
    def is_close(self) -> bool:
        """Whether also the median of each run lies within the rounds of the other."""
        one, other = self.first, self.second
        return other.low <= one.median <= other.high and one.low <= other.median <= one.high

    def __str__(self) -> str:
        verdict = "agree, each median within the other's spread" if self.is_close else "agree, their spreads meet"
        return f"{self.what}: {told(self.first)}, {told(self.second)}: {verdict if self.agrees else 'DO NOT AGREE'}"


def compare(first: Sequence[Result], second: Sequence[Result]) -> list[Pair]:
    """The ratios of the same benchmarks, run twice."""
    return [
        Pair(f"{one.name} {what}", mine, theirs)
        for one, other in zip(first, second, strict=True)
        for what, mine, theirs in (
            ("ours/peer", one.over_peer, other.over_peer),
            ("ours/limit", one.over_limit, other.over_limit),
        )
        if mine is not None and theirs is not None
    ]
