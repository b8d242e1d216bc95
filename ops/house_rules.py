"""House rules that no other tool checks: lengths, pure domains, nothing of one machine in the repository.

Why: a rule that is only written down is broken within a month.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ops.local.paths import ROOT

FILE_LINES: Final = 300
FUNCTION_LINES: Final = 70
# Addresses of package registries and paths of one machine must not be committed; uv.lock would hold them (F-46).
PRIVATE: Final = re.compile(
    rb"https?://[a-z0-9.-]*(?:pypi|pythonhosted|npmjs|maven|crates|debian)[a-z0-9.-]*|--(?:find-links|index-url)|"
    rb"(?<![\w.])/(?:home|Users|root|work)/"
)
PRIVATE_ALLOWED: Final = {"ops/house_rules.py", "tests/unit/ops/test_house_rules.py"}


def main() -> None:
    """Print every breach; exit 1 if there is one."""
    breaches = sorted(check(ROOT, tracked(ROOT)))
    for breach in breaches:
        sys.stdout.write(f"{breach}\n")
    raise SystemExit(1 if breaches else 0)


def tracked(root: Path) -> list[Path]:
    """Files of the repository, also those not committed yet, without what git ignores."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return [Path(name) for name in names if name and (root / name).is_file()]


def check(root: Path, files: list[Path]) -> Iterator[str]:
    """Breaches as `file:line: what`."""
    for file in files:
        content = (root / file).read_bytes()
        yield from _private(file, content)
        if file.suffix == ".py":
            try:
                tree = ast.parse(content, filename=str(file))
            except SyntaxError as error:
                yield f"{file}:{error.lineno}: {error.msg}"
                continue
            yield from _lengths(file, content, tree)
            if is_domain(file):
                yield from _impure(file, tree)


def is_domain(file: Path) -> bool:
    """`services/<service>/domain.py`, or a module of a package of that name."""
    return file.parts[0] == "services" and (file.parts[2:] == ("domain.py",) or file.parts[2:3] == ("domain",))


def _private(file: Path, content: bytes) -> Iterator[str]:
    if str(file) in PRIVATE_ALLOWED:
        return
    for number, line in enumerate(content.splitlines(), start=1):
        if found := PRIVATE.search(line):
            yield f"{file}:{number}: names a registry or a path of one machine: {found[0].decode(errors='replace')}"


def _lengths(file: Path, content: bytes, tree: ast.AST) -> Iterator[str]:
    lines = len(content.splitlines())
    if lines > FILE_LINES:
        yield f"{file}:1: {lines} lines, at most {FILE_LINES}: split it by noun"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{file}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"


def _impure(file: Path, tree: ast.AST) -> Iterator[str]:
    """A domain imports the standard library and itself, so that its decisions can be run without anything else."""
    own = ".".join([*file.parts[:2], "domain"])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [own if node.level else node.module or ""]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names and not f"{name}.".startswith(f"{own}."):
                yield f"{file}:{node.lineno}: a domain imports the standard library only, not {name}"


if __name__ == "__main__":
    main()
