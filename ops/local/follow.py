"""Reads log files as they grow.

Why: processes write into files of their own, so that they go on whatever happens to the one who watches them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1 << 20


class Follower:
    """Gives the lines that were added since the last look."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        """Follow `folder/<name>.log` of each name, from its present end."""
        self._paths = {name: folder / f"{name}.log" for name in names}
        self._offsets = {name: path.stat().st_size if path.exists() else 0 for name, path in self._paths.items()}

    def lines(self) -> Iterator[tuple[str, str]]:
        """New whole lines with the name of their file."""
        for name, path in self._paths.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._offsets[name])
                whole, newline, _ = file.read(CHUNK_BYTES).rpartition(b"\n")
            self._offsets[name] += len(whole) + len(newline)
            if newline:
                for line in whole.decode(errors="replace").split("\n"):
                    yield name, line
