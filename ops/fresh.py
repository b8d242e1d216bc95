"""`make check-fresh`: what a newcomer does, on what a newcomer has.

Why: a checkout that was lived in works for many wrong reasons; an empty home, no settings and no rights are the proof.
"""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.local.paths import ROOT

COMMANDS: Final = {"demo": 180.0, "test": 360.0}  # make target to its limit in seconds; the first one installs
WARM: Final = {"demo": 20.0}
HARD_LIMIT_SECONDS: Final = 1200.0
# What a shell of somebody who never set anything has; certificates and proxies belong to the machine, not to us.
KEPT: Final = ("LANG", "TERM", "TZ")
KEPT_ENDINGS: Final = ("_proxy", "_PROXY", "CERT_FILE", "CERT_DIR", "CA_BUNDLE", "CACERT", "CAINFO")
UNPRIVILEGED: Final = "nobody"  # an account that every machine has; PostgreSQL refuses a number without a name


@dataclass(frozen=True)
class Outcome:
    """How one command went for one account."""

    account: str
    command: str
    seconds: float
    limit: float
    exit_code: int

    @property
    def fine(self) -> bool:
        """Whether it succeeded within its limit."""
        return self.exit_code == 0 and self.seconds <= self.limit


def main(arguments: Sequence[str]) -> int:
    """Clone the last commit and run the two commands; 1 if one fails or is too slow."""
    parser = argparse.ArgumentParser(prog="make check-fresh", description=__doc__)
    accounts = ["root", "unprivileged"] if os.geteuid() == 0 else ["unprivileged"]
    parser.add_argument("--account", choices=accounts, action="append", help="only as this one")
    parser.add_argument("--command", choices=list(COMMANDS), action="append", help="only this one")
    chosen = parser.parse_args(arguments)
    outcomes: list[Outcome] = []
    for account in chosen.account or accounts:
        outcomes += _try_as(account, chosen.command or list(COMMANDS))
    for outcome in outcomes:
        verdict = "ok  " if outcome.fine else "FAIL"
        times = f"{outcome.seconds:6.1f} s of {outcome.limit:g} s"
        sys.stdout.write(
            f"{verdict} {outcome.account:<13} make {outcome.command:<12} {times}, exit {outcome.exit_code}\n"
        )
    return 0 if all(outcome.fine for outcome in outcomes) else 1


def environment(home: Path) -> dict[str, str]:
    """An empty HOME, a plain PATH, no PIP_*, PYTHON* or ONEFOLD_* settings."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.endswith(KEPT_ENDINGS)}
    kept = {name: value for name, value in kept.items() if not name.startswith(("PIP_", "PYTHON", "UV_"))}
    return kept | {"HOME": str(home), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def as_account(account: str, command: Sequence[str]) -> list[str]:
    """The command under another account, if it is not ours."""
    if account == "root" or os.geteuid() != 0:
        return list(command)
    other = pwd.getpwnam(UNPRIVILEGED)
    return [
        "setpriv",
        f"--reuid={other.pw_uid}",
        f"--regid={other.pw_gid}",
        "--clear-groups",
        "--no-new-privs",
        *command,
    ]


def _try_as(account: str, commands: Sequence[str]) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="onefold-fresh-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home, checkout = folder / "home", folder / "onefold"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, checkout], check=True)
        if account != "root" and os.geteuid() == 0:
            for place in (home, checkout):
                subprocess.run(["chown", "-R", f"{UNPRIVILEGED}:", place], check=True)
        outcomes = [_run(account, each, COMMANDS[each], checkout, home) for each in commands]
        outcomes += [_run(account, each, WARM[each], checkout, home) for each in commands if each in WARM]
        leftovers = _processes_of(folder)
        if leftovers:
            sys.stdout.write("left running:\n" + "\n".join(leftovers) + "\n")
            outcomes.append(Outcome(account, "(nothing left)", 0.0, 0.0, 1))
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def _run(account: str, command: str, limit: float, checkout: Path, home: Path) -> Outcome:
    sys.stdout.write(f"---- {account}: make {command}\n")
    sys.stdout.flush()
    begin = time.monotonic()
    done = subprocess.run(
        as_account(account, ["make", command]),
        check=False,
        cwd=checkout,
        env=environment(home),
        timeout=HARD_LIMIT_SECONDS,
    )
    return Outcome(account, command, time.monotonic() - begin, limit, done.returncode)


def _processes_of(folder: Path) -> list[str]:
    """Processes that still run out of the clone."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], check=True, capture_output=True, text=True).stdout
    return [line for line in listing.splitlines() if str(folder) in line]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
