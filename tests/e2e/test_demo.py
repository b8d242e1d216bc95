"""The whole stack, every story of the demo, the audit, and an operator's commands on what is running."""

import asyncio
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ops.demo import SHORTER
from ops.demo.show import run
from ops.local.environment import Ports
from ops.local.paths import ROOT
from ops.local.stack import Stack

pytestmark = [pytest.mark.serial, pytest.mark.timeout(240)]
COMMAND_SECONDS = 60


def onefold(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, in the environment that a running stack keeps for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONEFOLD_")}
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        cwd=ROOT,
        env=environment | {"ONEFOLD_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )


@pytest.mark.requirement("R-6.4", "R-1.1", "R-4.2")
def test_every_story_ends_as_it_may_and_the_books_agree(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    shown = StringIO()
    stack = Stack(tmp_path, at=Ports.free(), extra=SHORTER, durable=False)
    try:
        with stack:
            fine = asyncio.run(run(stack, 2, Console(file=shown, width=110), quick=True))
            assert fine, shown.getvalue()
            audited = onefold(tmp_path, "audit", "--json", "--at-rest", "--patience", "30")
            assert audited.returncode == 0, audited.stdout + audited.stderr
            assert json.loads(audited.stdout)["events"] > 100
            assert onefold(tmp_path, "parked", "list").stdout == "nothing is parked\n"
            assert "no such webhook is stored" in onefold(tmp_path, "replay").stdout
            reconciled = onefold(tmp_path, "reconcile", "--hours", "1")
            assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    finally:
        stack.postgres.purge()
