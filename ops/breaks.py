"""`make breaks`: takes each guarantee away, one by one, and sees its tests go red.

Why: a test that stays green without the thing it guards guards nothing.

A break is `tests/breaks/<ID>.patch`: lines `# Test: <pytest node id>` first, then the diff that removes the guarantee.
It is applied to the last commit, in a worktree of its own, with the same `.venv` and `gen`.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from ops.local import paths, shared
from ops.local.child import LocalStackError
from ops.local.paths import ROOT

BREAKS: Final = ROOT / "tests" / "breaks"
HEADER: Final = re.compile(r"^# Test: *(\S.*?) *$", re.MULTILINE)
FAILED: Final = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
# What starts the servers is itself broken: such a break must not share those of the others.
SERVERS_CHANGED: Final = re.compile(r"^\+\+\+ b/(?:ops/local/|tests/conftest\.py)", re.MULTILINE)
PROTOS_CHANGED: Final = re.compile(r"^\+\+\+ b/protos/", re.MULTILINE)
TESTS_FAILED: Final = 1  # pytest's exit code; all others say that the tests did not run
SECONDS: Final = 300.0
SHOWN_LINES: Final = 60


@dataclass(frozen=True)
class Break:
    """One patch and the tests that must go red under it."""

    name: str
    patch: Path
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """`problem` is empty when every named test went red; `output` is what the tests said."""

    name: str
    problem: str
    output: str = ""


def main(arguments: Sequence[str]) -> int:
    """Run all breaks, or those whose names are given; 1 if a test stayed green or a patch did not apply."""
    parser = argparse.ArgumentParser(prog="make breaks", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these, such as R-1.1 (also a prefix: R-1.)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    chosen = parser.parse_args(arguments)
    breaks = [each for each in find(BREAKS) if not chosen.names or each.name.startswith(tuple(chosen.names))]
    run = shared.Run()
    try:
        for server in ("postgres", "kafka"):
            shared.server(server)  # one of each for all breaks, from this checkout
        with ThreadPoolExecutor(chosen.jobs) as workers:
            failures = 0
            for result in workers.map(try_break, breaks):
                failures += bool(result.problem)
                sys.stdout.write(f"{'FAIL' if result.problem else 'red '} {result.name}  {result.problem}\n")
                sys.stdout.write("\n".join([*result.output.splitlines()[-SHOWN_LINES:], ""]) if result.problem else "")
                sys.stdout.flush()
    finally:
        run.end()
    sys.stdout.write(f"{len(breaks) - failures} of {len(breaks)} breaks were noticed\n")
    return 1 if failures or not breaks else 0


def find(folder: Path) -> list[Break]:
    """All breaks, by name."""
    return [parse(path) for path in sorted(folder.glob("*.patch"))]


def parse(path: Path) -> Break:
    """The break in a file; its tests stand in the header, before the diff."""
    header = re.split(r"^(?:diff --git|--- )", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    return Break(path.stem, path, tuple(HEADER.findall(header)))


def try_break(broken: Break) -> Result:
    """Apply it to the last commit and run its tests."""
    if not broken.tests:
        return Result(broken.name, "names no test: a line `# Test: <node id>` is missing")
    with tempfile.TemporaryDirectory(prefix="onefold-break-") as folder:
        tree = Path(folder) / "tree"
        Path(folder).chmod(0o755)
        try:
            _git("worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
            applied = subprocess.run(["git", "apply", broken.patch], cwd=tree, capture_output=True, text=True)
            if applied.returncode != 0:
                return Result(broken.name, "does not apply", applied.stderr)
            return _run_tests(broken, tree)
        except (LocalStackError, subprocess.CalledProcessError) as error:
            return Result(broken.name, "could not be tried", f"{error}\n{getattr(error, 'stderr', '')}")
        finally:
            _end_what_runs_in(tree)
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, capture_output=True)


def _end_what_runs_in(tree: Path) -> None:
    """Broken code may leave a whole stack behind; the children of what is ended here die with it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(tree):
                process.kill()


def _run_tests(broken: Break, tree: Path) -> Result:
    environment = os.environ | {
        "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'gen'}",  # before the checkout that .venv points to
        "ONEFOLD_CACHE_DIR": str(paths.cache_folder()),
        "COLUMNS": "400",
    }
    patch = broken.patch.read_text()
    if SERVERS_CHANGED.search(patch):
        del environment[shared.RUN_VARIABLE]
    if PROTOS_CHANGED.search(patch):
        subprocess.run(
            [sys.executable, "-m", "ops.protos"], cwd=tree, env=environment, check=True, capture_output=True, text=True
        )
    else:
        (tree / "gen").symlink_to(ROOT / "gen")
    options = ["-q", "-rf", "--tb=native", "-p", "no:cacheprovider"]
    options += ["-W", "default::pytest.PytestUnraisableExceptionWarning"]  # broken code may also clean up badly
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *broken.tests],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = tests.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(tests.pid, signal.SIGKILL)
        tests.communicate()
        return Result(broken.name, f"its tests did not end within {SECONDS:g} s")
    return Result(broken.name, judge(broken.tests, tests.returncode, output), output)


def judge(tests: Sequence[str], exit_code: int, output: str) -> str:
    """Why a break went unnoticed; empty if every named test failed (one case of it is enough)."""
    if exit_code not in (0, TESTS_FAILED):
        return f"its tests did not run (pytest ended with {exit_code})"
    failed = FAILED.findall(output)
    green = [test for test in tests if not any(_covers(test, node) for node in failed)]
    return f"stayed green: {', '.join(green)}" if green else ""


def _covers(test: str, node: str) -> bool:
    return node == test or node.startswith((f"{test}[", f"{test}::"))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
