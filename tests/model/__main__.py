"""Walk through scenarios from the command line: `python -m tests.model [--deep] [name ...]`.

Prints the states that were explored per scenario; exits with 1 and the shortest trace where something breaks.
"""

from __future__ import annotations

import sys
import time

from tests.model.scenarios import DEEP, SCENARIOS, walk


def main(arguments: list[str]) -> int:
    """The scenarios of `make test`, or with --deep those and larger ones; or only those that are named."""
    names = [argument for argument in arguments if not argument.startswith("--")]
    chosen = (*SCENARIOS, *DEEP) if "--deep" in arguments or names else SCENARIOS
    began, states, broken = time.monotonic(), 0, 0
    for scenario in chosen:
        if names and scenario.name not in names:
            continue
        report = walk(scenario)
        states += report.states
        _say(report)
        if report.breach or not report.complete:
            broken += 1
        if report.breach:
            _say(report.breach)
    _say(f"{states} states in {time.monotonic() - began:.0f} s, {broken} scenarios broken")
    return 1 if broken else 0


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
