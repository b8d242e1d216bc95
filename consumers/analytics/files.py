"""The archive's files: their names say which events they hold, so that the folder itself knows where to go on.

Why: exactly once needs one truth. A file appears whole, by a rename; its name holds topic, day, partition and offsets,
and what the files hold is what was archived, whatever offsets Kafka remembers for us.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".unfinished"
_LOCK: Final = "writer.lock"
_CLUSTER: Final = "kafka.cluster"
_NAME: Final = re.compile(
    r"topic=(?P<topic>[^/]+)/day=(?P<day>\d{4}-\d\d-\d\d)/(?P<partition>\d{3,})-(?P<first>\d{20})-(?P<last>\d{20})\.parquet$"
)


class ArchiveInUse(Exception):
    """Another process writes to the same archive."""


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """Events `first` to `last` (offsets) of one partition that fell on one day (UTC)."""

    topic: str
    day: date
    partition: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Its path inside of the archive."""
        offsets = f"{self.first:020d}-{self.last:020d}"
        return f"topic={self.topic}/day={self.day.isoformat()}/{self.partition:03d}-{offsets}.parquet"

    def holds(self, other: "ArchiveFile") -> bool:
        """Whether everything in `other` is here, too: it was joined into this one."""
        same = (self.topic, self.day, self.partition) == (other.topic, other.day, other.partition)
        return same and self.first <= other.first and other.last <= self.last and self != other


def scan(folder: Path) -> Iterator[ArchiveFile]:
    """All files of the archive, in no order; what was not finished is not there."""
    for path in folder.glob("topic=*/day=*/*.parquet"):
        if (file := parse(path.relative_to(folder).as_posix())) is not None:
            yield file


def parse(name: str) -> ArchiveFile | None:
    """The file that a path inside of the archive names."""
    found = _NAME.match(name)
    if found is None:
        return None
    numbers = (int(found[part]) for part in ("partition", "first", "last"))
    return ArchiveFile(found["topic"], date.fromisoformat(found["day"]), *numbers)


def next_offsets(folder: Path) -> Mapping[tuple[str, int], int]:
    """Where each (topic, partition) goes on: behind the last event that is archived."""
    following: dict[tuple[str, int], int] = {}
    for file in scan(folder):
        place = (file.topic, file.partition)
        following[place] = max(following.get(place, 0), file.last + 1)
    return following


def superseded(files: Iterable[ArchiveFile]) -> list[tuple[ArchiveFile, ArchiveFile]]:
    """Files of one folder that were joined, each with the file that holds them."""
    found: list[tuple[ArchiveFile, ArchiveFile]] = []
    widest: ArchiveFile | None = None
    for file in sorted(files, key=lambda each: (each.topic, each.day, each.partition, each.first, -each.last)):
        if widest is not None and widest.holds(file):
            found.append((file, widest))
        else:
            widest = file
    return found


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a written file its name, so that it and its name survive a power cut."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.rename(path)
    _sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder of the archive and its parents, and let them survive a power cut."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent)
        _sync_folder(path.parent.parent)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only writer, and remove what a former one left unfinished. Raises ArchiveInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveInUse(f"another process writes to {folder}") from None
        for path in folder.glob(f"topic=*/day=*/*{UNFINISHED}"):
            path.unlink()
        yield


def of_cluster(folder: Path, cluster: str) -> str:
    """The id of the Kafka whose events are archived here: from now on `cluster`, if none was before."""
    path = folder / _CLUSTER
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + UNFINISHED)
        unfinished.write_text(cluster)
        put_in_place(unfinished, path)
    return path.read_text()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
