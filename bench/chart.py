"""`python -m bench.chart < results.jsonl > docs/performance.svg`: ours and the peer as shares of the limit.

Why: a picture that is drawn from the JSON cannot say anything else than the JSON.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

WIDTH: Final = 760
LEFT: Final = 130
RIGHT: Final = 110
ROW: Final = 46
BAR: Final = 14
COLOURS: Final = {"ours": "#1b6e53", "peer": "#b9b3a6"}


def main() -> None:
    """Lines of JSON in, SVG out."""
    sys.stdout.write(chart([json.loads(line) for line in sys.stdin if line.startswith("{")]))


def chart(results: Sequence[dict[str, Any]]) -> str:
    """Benchmarks whose figure is a rate and that have a limit; a tick shows the goal."""
    drawn = [one for one in results if one["limit"] and one["unit"].endswith("/s")]
    height = ROW * len(drawn) + 40
    rows = "".join(line for place, one in enumerate(drawn) for line in _row(one, 30 + ROW * place))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="{LEFT}" y="16">Share of the limit (full width): ours dark, peer light, goal as a tick</text>\n'
        f"{rows}</svg>\n"
    )


def _row(one: dict[str, Any], top: int) -> Iterable[str]:
    yield f'<text x="{LEFT - 8}" y="{top + 18}" text-anchor="end">{one["name"]}</text>\n'
    yield f'<rect x="{LEFT}" y="{top}" width="{_x(1.0)}" height="{2 * BAR}" fill="#f3f1ec"/>\n'
    for place, side in enumerate(("ours", "peer")):
        if one[side] is not None:
            y, width = top + place * BAR, _x(min(one[side] / one["limit"], 1.0))
            yield f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR - 1}" fill="{COLOURS[side]}"/>\n'
            yield f'<text x="{WIDTH - RIGHT + 6}" y="{y + 11}">{one[side]:,.0f} {one["unit"]}</text>\n'
    if one["goal_limit"]:
        x = LEFT + _x(one["goal_limit"])
        yield f'<line x1="{x}" x2="{x}" y1="{top - 3}" y2="{top + 2 * BAR + 3}" stroke="#a3341f"/>\n'


def _x(share: float) -> int:
    return round(share * (WIDTH - LEFT - RIGHT))


if __name__ == "__main__":
    main()
