"""Generated code follows the protos, and a change that would break a reader fails the checks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.protos import PROTOS, build_image, generate

BUF = Path(sys.executable).parent / "buf"
EVENTS = "onefold/orders/v1/orders_events.proto"


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy of our protos that a test may spoil."""
    return Path(shutil.copytree(PROTOS, tmp_path / "protos"))


def _breaking(protos: Path, folder: Path) -> str:
    """What buf says of `protos` against ours as they are."""
    build_image(PROTOS, folder / "old.binpb")
    build_image(protos, folder / "new.binpb")
    command: list[str | Path] = [BUF, "breaking", folder / "new.binpb", "--against", folder / "old.binpb"]
    done = subprocess.run(
        [*command, "--config", protos / "buf.yaml"], check=False, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def _edit(protos: Path, old: str, new: str) -> None:
    path = protos / EVENTS
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.requirement("R-5.3")
def test_a_changed_field_breaks_and_an_added_one_does_not(protos: Path, tmp_path: Path) -> None:
    assert _breaking(protos, tmp_path) == ""
    _edit(protos, "message OrderConfirmed {", "message OrderConfirmed {\n  string added = 999;")
    assert _breaking(protos, tmp_path) == ""
    _edit(protos, "message OrderConfirmed {", "message OrderRenamed {")
    assert "OrderConfirmed" in _breaking(protos, tmp_path)


@pytest.mark.requirement("R-5.3")
def test_a_field_of_another_type_breaks(protos: Path, tmp_path: Path) -> None:
    first = next(line for line in (protos / EVENTS).read_text().splitlines() if line.strip().startswith("string "))
    _edit(protos, first, first.replace("string ", "bytes ", 1))
    assert "changed type" in _breaking(protos, tmp_path)


def test_code_is_made_once_and_again_when_the_protos_change(protos: Path, tmp_path: Path) -> None:
    target = tmp_path / "gen"
    assert generate(protos, target)
    assert not generate(protos, target)
    (target / "onefold" / "stale.py").touch()
    _edit(protos, "message OrderConfirmed {", "message OrderConfirmed {\n  string added = 999;")
    assert generate(protos, target)
    assert not (target / "onefold" / "stale.py").exists()
    assert "added" in (target / "onefold" / "orders" / "v1" / "orders_events_pb2.pyi").read_text()


def test_protos_that_do_not_compile_leave_the_old_code(protos: Path, tmp_path: Path) -> None:
    target = tmp_path / "gen"
    generate(protos, target)
    _edit(protos, "message OrderConfirmed {", "message OrderConfirmed {\n  Nonsense added = 999;")
    with pytest.raises(SystemExit, match="do not compile"):
        generate(protos, target)
    assert (target / "onefold" / "orders" / "v1" / "orders_events_pb2.py").exists()
