"""The archive on disk: what its names say, and what happens to small files (R-5.5, S-28)."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumers.analytics import files, parquet, query
from consumers.analytics.compaction import Compaction
from consumers.analytics.config import AnalyticsSettings
from consumers.analytics.files import ArchiveFile
from consumers.analytics.rows import row_of
from services.chassis.clock import ManualClock
from tests.component.consumers import records
from tests.component.consumers.records import DAY, record, row

pytestmark = pytest.mark.requirement("R-5.5", "S-28")

TOPIC = "onefold.orders.v1"


def one(folder: Path, first: int, last: int | None = None, days: float = 0) -> list[ArchiveFile]:
    """Events of offsets `first` to `last` of partition 0."""
    offsets = range(first, (first if last is None else last) + 1)
    return parquet.write(folder, [row(records.created(f"o{at}"), key=f"o{at}", offset=at, days=days) for at in offsets])


def settings(folder: Path, **changes: object) -> AnalyticsSettings:
    return AnalyticsSettings.model_validate({"profile": "test", "folder": folder, "compact_files": 3, **changes})


def names(folder: Path) -> list[tuple[int, int]]:
    return [(file.first, file.last) for file in sorted(files.scan(folder))]


def test_names_say_what_files_hold(tmp_path: Path) -> None:
    (file,) = one(tmp_path, 7, 9)
    assert file.name == "topic=onefold.orders.v1/day=2026-03-02/000-00000000000000000007-00000000000000000009.parquet"
    assert list(files.scan(tmp_path)) == [file] == [files.parse(file.name)]
    assert files.next_offsets(tmp_path) == {(TOPIC, 0): 10}


def test_events_of_two_days_are_two_files(tmp_path: Path) -> None:
    """A clock that is behind makes one more file, and no gap."""
    days = [0, 0, 1, 0, 1]
    rows = [row(records.created("o"), key="o", offset=at, days=day) for at, day in enumerate(days)]
    written = parquet.write(tmp_path, rows)
    assert [(file.day.day, file.first, file.last) for file in written] == [(2, 0, 1), (3, 2, 2), (2, 3, 3), (3, 4, 4)]
    assert query.ask("SELECT count(*) FROM events", tmp_path).rows == [(5,)]


def test_a_record_is_kept_whole_for_a_replay(tmp_path: Path) -> None:
    message = records.created("o")
    kept = record(message, key="o", offset=3)
    parquet.write(tmp_path, [row_of(kept)])
    columns = '"offset", event_id, type, source, event_time, key, payload, headers, problem'
    assert query.ask(f"SELECT {columns} FROM archive", tmp_path).rows == [
        (
            3,
            next(value.decode() for name, value in kept.headers if name == "ce_id" and value),
            "onefold.orders.v1.OrderCreated",
            "onefold/test",
            DAY.replace(tzinfo=None),
            "o",
            message.SerializeToString(),
            None,
            None,
        )
    ]


def test_what_cannot_be_read_is_kept_too_and_named(tmp_path: Path) -> None:
    headless = record(records.created("o"), key="o", offset=0)
    headless.headers = [("x", b"\xff")]
    garbage = record(records.created("o"), key="o", offset=1)
    garbage.value = b"\xff\xff"
    stranger = record(records.created("o"), key="o", offset=2)
    stranger.headers = [
        (name, b"onefold.orders.v9.New" if name == "ce_type" else value) for name, value in stranger.headers
    ]
    valueless = record(records.created("o"), key="o", offset=3)
    valueless.headers = [("ce_id", None)]
    untimely = record(records.created("o"), key="o", offset=4)
    untimely.headers, untimely.timestamp = [], 2**62
    parquet.write(tmp_path, [row_of(each) for each in (headless, garbage, stranger, valueless, untimely)])
    told = query.ask('SELECT "offset", problem FROM unreadable ORDER BY 1', tmp_path).rows
    assert [offset for offset, _ in told] == [0, 1, 2, 3, 4]
    assert "unknown event type onefold.orders.v9.New" in told[2][1]
    assert told[3][1] == "header ce_id is missing"
    assert query.ask('SELECT headers FROM archive WHERE "offset" = 3', tmp_path).rows == [({"ce_id": None},)]


def test_there_is_one_writer_and_it_removes_what_was_left_unfinished(tmp_path: Path) -> None:
    (file,) = one(tmp_path, 0)
    left = (tmp_path / file.name).with_name(f"x{files.UNFINISHED}")
    left.touch()
    with files.writing(tmp_path):
        assert not left.exists()
        with pytest.raises(files.ArchiveInUse), files.writing(tmp_path):
            pass
    assert list(files.scan(tmp_path)) == [file]


async def test_small_files_are_joined_and_removed_later(tmp_path: Path) -> None:
    clock = ManualClock(datetime.now(UTC))
    for at in range(3):
        one(tmp_path, at, days=(clock.now() - DAY).days)
    compaction = Compaction(settings(tmp_path, keep_joined_ms=60_000, compact_ms=1_000), clock)
    assert await compaction.run_once() == 3
    assert names(tmp_path) == [(0, 0), (0, 2), (1, 1), (2, 2)]
    assert await compaction.run_once() == 0  # not due
    clock.advance(DAY - DAY.replace(minute=58, hour=10))
    assert await compaction.run_once() == 0
    assert names(tmp_path) == [(0, 2)]
    assert query.ask("SELECT count(*), count(DISTINCT event_id) FROM archive", tmp_path).rows == [(3, 3)]
    assert files.next_offsets(tmp_path) == {(TOPIC, 0): 3}


async def test_large_files_and_few_files_stay_as_they_are(tmp_path: Path) -> None:
    clock = ManualClock(DAY)
    for at in range(2):
        one(tmp_path, at)
    assert await Compaction(settings(tmp_path), clock).run_once() == 0
    one(tmp_path, 2)
    assert await Compaction(settings(tmp_path, compact_bytes=1_000), clock).run_once() == 0
    assert names(tmp_path) == [(0, 0), (1, 1), (2, 2)]


def test_a_crash_between_join_and_removal_leaves_nothing_double(tmp_path: Path) -> None:
    written = [file for at in range(3) for file in one(tmp_path, at)]
    whole = parquet.join(tmp_path, written)
    assert [small for small, _ in files.superseded(files.scan(tmp_path))] == written
    assert {large for _, large in files.superseded(files.scan(tmp_path))} == {whole}
    assert query.ask("SELECT count(*) FROM archive", tmp_path).rows == [(3,)]
