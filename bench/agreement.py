"""Whether two runs say the same: their ratios side by side.

Why: a figure that another run contradicts is no figure; one command measures twice and says so.
"""

from collections.abc import Iterator, Sequence

from bench.harness import Result, Spread, told


def agreement(first: Sequence[Result], second: Sequence[Result]) -> str:
    """A line per ratio of the same benchmarks, run twice: they agree where their spreads have something in common."""
    lines = [line for one, other in zip(first, second, strict=True) for line in _ratios(one, other)]
    return "\n".join(["Two runs:", *lines])


def agree(one: Spread, other: Spread) -> bool:
    """Whether the rounds of one run reach to those of the other."""
    return one.low <= other.high and other.low <= one.high


def _ratios(one: Result, other: Result) -> Iterator[str]:
    pairs = {"ours/peer": (one.over_peer, other.over_peer), "ours/limit": (one.over_limit, other.over_limit)}
    for what, (mine, theirs) in pairs.items():
        if mine is not None and theirs is not None:
            verdict = "agree" if agree(mine, theirs) else "DO NOT AGREE"
            yield f"  {one.name} {what}: {told(mine)}, {told(theirs)}: {verdict}"
