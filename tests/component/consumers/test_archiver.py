"""Every event of Kafka is archived exactly once, whatever crashes when (R-5.5)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from consumers.analytics import files, parquet, query
from consumers.analytics.archiver import GROUP, ArchiveMismatch, Archiver
from consumers.analytics.config import AnalyticsSettings
from services.chassis.clock import ManualClock, SystemClock
from services.chassis.testing import wait_until
from tests.component.consumers import records
from tests.component.consumers.records import FakeRecord, produce, record

pytestmark = pytest.mark.requirement("R-5.5")

ORDERS = "onefold.orders.v1"


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> AnalyticsSettings:
    return AnalyticsSettings.model_validate(
        {
            "profile": "test",
            "kafka_bootstrap": kafka_bootstrap,
            "topic_prefix": topic_prefix,
            "folder": tmp_path / "archive",
            "flush_ms": 3_600_000,
        }
    )


@asynccontextmanager
async def archiving(settings: AnalyticsSettings) -> AsyncIterator[Archiver]:
    """An archiver that dies at the end: what it has not written is lost."""
    archiver = Archiver(settings, SystemClock())
    try:
        yield archiver
    finally:
        await archiver.close()


def some(orders: int) -> list[FakeRecord]:
    """Three events of each order, on three days and in two topics."""
    return [
        record(message, key=f"o{number}", days=days)
        for number in range(orders)
        for message, days in (
            (records.created(f"o{number}"), 0),
            (records.order_event("OrderConfirmed", f"o{number}"), 1),
            (records.captured(f"o{number}", 1_000), 2),
        )
    ]


async def polled(archiver: Archiver) -> int:
    """What one poll brought; topics that were just made may not be known yet."""
    try:
        return await archiver.run_once()
    except UnknownTopicOrPartitionError:
        return 0


async def take(archiver: Archiver, wanted: int) -> None:
    """Poll until `wanted` records are in memory."""
    got = 0

    async def enough() -> bool:
        nonlocal got
        got += await polled(archiver)
        return got >= wanted

    await wait_until(enough, within=15)
    assert got == wanted


def count(settings: AnalyticsSettings) -> tuple[int, int]:
    """All rows of the archive, and the different events among them."""
    ((rows, events),) = query.ask("SELECT count(*), count(DISTINCT event_id) FROM archive", settings.folder).rows
    return rows, events


async def committed(settings: AnalyticsSettings) -> int:
    """Sum of the offsets that Kafka remembers for the topic of orders."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=f"{settings.topic_prefix}{GROUP}", enable_auto_commit=False
    )
    await reader.start()
    try:
        places = [TopicPartition(f"{settings.topic_prefix}{ORDERS}", partition) for partition in range(8)]
        return sum([await reader.committed(place) or 0 for place in places])
    finally:
        await reader.stop()


async def test_it_goes_on_from_its_files_whatever_kafka_remembers(settings: AnalyticsSettings) -> None:
    events = some(20)
    await produce(settings.kafka_bootstrap, settings.topic_prefix, events)
    async with archiving(settings) as first:
        await take(first, 60)
        assert list(files.scan(settings.folder)) == []
    async with archiving(settings) as second:  # the first wrote nothing: everything comes again
        await take(second, 60)
        await second.flush()
    assert count(settings) == (60, 60)
    assert await committed(settings) == 40
    async with archiving(settings) as third:
        await wait_until(lambda: _is_connected(third), within=15)
        reset = dict.fromkeys(third._kafka.assignment(), 0)  # type: ignore[union-attr]
        await third._kafka.commit(reset)  # type: ignore[union-attr]
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
    async with archiving(settings) as last:
        await take(last, 3)
        await last.flush()
    assert count(settings) == (63, 63)


@pytest.mark.parametrize("dies_at", ["the second file", "the commit"])
async def test_a_crash_at_any_point_loses_and_doubles_nothing(
    settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(10))
    async with archiving(settings) as dying:
        await take(dying, 30)
        with monkeypatch.context() as crash, pytest.raises(PowerCut):
            if dies_at == "the commit":
                crash.setattr(AIOKafkaConsumer, "commit", _cut)
            else:
                crash.setattr(parquet, "put_in_place", _cut_after(3, files.put_in_place))
            await dying.flush()
    archived, _ = count(settings)
    assert archived == 30 if dies_at == "the commit" else 0 < archived < 30
    with files.writing(settings.folder):
        assert not list(settings.folder.rglob(f"*{files.UNFINISHED}"))
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
    async with archiving(settings) as next_one:
        await take(next_one, 33 - archived)
        await next_one.flush()
    assert count(settings) == (33, 33)


async def test_it_writes_by_size_and_by_time_and_when_it_is_asked_to_stop(settings: AnalyticsSettings) -> None:
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(2))
    by_size = settings.model_copy(update={"flush_events": 1})
    async with archiving(by_size) as archiver:
        await take(archiver, 6)
        assert count(settings) == (6, 6)
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
    archiver = Archiver(settings, SystemClock())
    stop = asyncio.Event()
    running = asyncio.create_task(archiver.run(stop))
    await wait_until(lambda: archiver._pending, within=15)
    assert archiver.ready()
    stop.set()
    await running
    assert count(settings) == (9, 9)
    await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
    by_time = settings.model_copy(update={"flush_ms": 1})
    async with archiving(by_time) as archiver:

        async def is_written() -> bool:
            await polled(archiver)
            return count(settings) == (12, 12)

        await wait_until(is_written, within=15)


async def test_it_writes_when_nothing_seems_to_follow(settings: AnalyticsSettings, clock: ManualClock) -> None:
    archiver = Archiver(settings.model_copy(update={"quiet_ms": 1_000}), clock)
    try:
        await wait_until(lambda: _is_connected(archiver), within=15)
        await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
        await take(archiver, 3)
        assert list(files.scan(settings.folder)) == []
        clock.advance(timedelta(seconds=1))
        await archiver.run_once()
    finally:
        await archiver.close()
    assert count(settings) == (3, 3)


async def test_a_stop_waits_for_no_event(settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.analytics.archiver._POLL_MS", 600_000)
    archiver = Archiver(settings, SystemClock())
    stop = asyncio.Event()
    running = asyncio.create_task(archiver.run(stop))
    await wait_until(archiver.ready, within=15)
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_an_archive_of_another_kafka_is_refused(settings: AnalyticsSettings) -> None:
    settings.folder.mkdir()
    rows = [records.row(records.created("o"), key="o", offset=1_000)]
    parquet.write(settings.folder, rows)
    async with archiving(settings) as archiver:
        with pytest.raises(ArchiveMismatch, match="ends at 1001"):
            await wait_until(lambda: polled(archiver), within=15)


async def test_an_archive_of_another_kafka_is_refused_even_if_that_is_longer(settings: AnalyticsSettings) -> None:
    assert files.of_cluster(settings.folder, "the first one") == "the first one"
    async with archiving(settings) as archiver:
        with pytest.raises(ArchiveMismatch, match="is the archive of Kafka the first one"):
            await wait_until(lambda: polled(archiver), within=15)


async def _is_connected(archiver: Archiver) -> bool:
    await polled(archiver)
    return archiver.ready()


async def test_a_fetcher_that_brings_nothing_though_there_is_something_is_replaced(
    settings: AnalyticsSettings, clock: ManualClock
) -> None:
    archiver = Archiver(settings, clock)
    try:
        await wait_until(lambda: _is_connected(archiver), within=15)
        clock.advance(timedelta(minutes=2))
        await archiver.run_once()  # nothing is there, nothing is wrong
        archiver._kafka.pause(*archiver._kafka.assignment())  # type: ignore[union-attr]
        await produce(settings.kafka_bootstrap, settings.topic_prefix, some(1))
        clock.advance(timedelta(minutes=2))
        with pytest.raises(ConnectionError, match="though there are some"):
            await archiver.run_once()
    finally:
        await archiver.close()


class PowerCut(Exception):
    pass


async def _cut(*_: Any) -> None:
    raise PowerCut


def _cut_after(times: int, really: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    done = 0

    def cut(unfinished: Path, path: Path) -> None:
        nonlocal done
        done += 1
        if done > times:
            raise PowerCut
        really(unfinished, path)

    return cut
