"""Compaction: many small files of one partition and day become one.

Why: a file a minute is good for questions of today and bad for those about a year. Joined files stay a while for
whoever reads them; meanwhile the larger one counts, by its name.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from consumers.analytics import files, parquet
from consumers.analytics.config import AnalyticsSettings
from consumers.analytics.files import ArchiveFile
from services.chassis.clock import Clock
from services.chassis.telemetry import get_logger

log = get_logger(__name__)

_LOOK_BACK: Final = timedelta(days=7)  # what a former process may have left to join
_JOINED_AT_ONCE: Final = 256


class Compaction:
    """Looks from time to time at the days that were written to; bounded work each time."""

    def __init__(self, settings: AnalyticsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._due = clock.now()
        self._days: set[tuple[str, date]] | None = None

    def note(self, written: Iterable[ArchiveFile]) -> None:
        """These were written: their days will be looked at."""
        if self._days is not None:
            self._days.update((file.topic, file.day) for file in written)

    async def run_once(self) -> int:
        """Join and remove what is due; returns how many files were joined."""
        now = self._clock.now()
        if now < self._due:
            return 0
        self._due = now + timedelta(milliseconds=self._settings.compact_ms)
        return await asyncio.to_thread(self._compact)

    def _compact(self) -> int:
        folder, today = self._settings.folder, self._clock.now().date()
        if self._days is None:
            self._days = {(file.topic, file.day) for file in files.scan(folder) if today - file.day <= _LOOK_BACK}
        joined = 0
        for topic, day in sorted(self._days):
            present = sorted(_of_day(folder, topic, day))
            joined += self._join(folder, present)
            left = self._remove(folder, present)
            if day < today and not left and len(present) < self._settings.compact_files:
                self._days.discard((topic, day))
        return joined

    def _join(self, folder: Path, present: Sequence[ArchiveFile]) -> int:
        old = {file for file, _ in files.superseded(present)}
        joined = 0
        for _, of_partition in groupby((file for file in present if file not in old), key=lambda file: file.partition):
            group = self._neighbours(folder, list(of_partition))
            if len(group) >= self._settings.compact_files:
                whole = parquet.join(folder, group)
                log.info("files_joined", file=whole.name, files=len(group))
                joined += len(group)
        return joined

    def _neighbours(self, folder: Path, of_partition: Sequence[ArchiveFile]) -> list[ArchiveFile]:
        """The first row of files that are small, one by one and together."""
        group: list[ArchiveFile] = []
        total = 0
        for file in of_partition:
            size = (folder / file.name).stat().st_size
            if total + size > self._settings.compact_bytes or len(group) == _JOINED_AT_ONCE:
                if len(group) >= self._settings.compact_files:
                    break
                group, total = [], 0
            if size <= self._settings.compact_bytes:
                group.append(file)
                total += size
        return group

    def _remove(self, folder: Path, present: Sequence[ArchiveFile]) -> int:
        """Remove files that were joined long enough ago; returns how many still stay."""
        before = self._clock.now().timestamp() - self._settings.keep_joined_ms / 1000
        left = 0
        for file, whole in files.superseded(present):
            if (folder / whole.name).stat().st_mtime <= before:
                (folder / file.name).unlink()
            else:
                left += 1
        return left


def _of_day(folder: Path, topic: str, day: date) -> Iterable[ArchiveFile]:
    for path in (folder / f"topic={topic}" / f"day={day.isoformat()}").glob("*.parquet"):
        if (file := files.parse(path.relative_to(folder).as_posix())) is not None:
            yield file
