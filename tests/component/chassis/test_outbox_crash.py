"""The relay's deletes do not wait for the disk: a crash of PostgreSQL brings rows back, and loses none."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ops.local import databases, paths, ports
from ops.local.postgres import Postgres
from services.chassis.config import ServiceSettings
from services.chassis.outbox import Relay
from services.chassis.testing import open_database, settings_for
from tests.component.chassis.messaging import TOPIC, sent
from tests.component.chassis.relaying import append_now, by_key, first_seen, published, unsent

pytestmark = [pytest.mark.serial, pytest.mark.requirement("S-24"), pytest.mark.requirement("R-5.2")]

# What no commit waited for stays in memory for this long, so that the crash finds it there.
LATE_WRITER = "ALTER SYSTEM SET wal_writer_delay = '10s'"


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    """A server of its own with fsync on; it may be killed."""
    folder = paths.temporary_folder("onefold-test-")
    made = Postgres(Path(folder) / "postgres", ports.free_port()).start()
    connection = await asyncpg.connect(made.dsn())
    await connection.execute(LATE_WRITER)
    await connection.close()
    made.restart()
    yield made
    made.purge()
    paths.purge(folder)
    folder.rmdir()


async def test_a_crash_brings_acknowledged_rows_back_and_they_are_sent_again_in_order(
    server: Postgres, kafka_bootstrap: str, topic_prefix: str
) -> None:
    passwords = dict.fromkeys(databases.roles_of("chassis"), "test")
    access = await databases.create(server.dsn(), "chassis", passwords)
    await databases.migrate(access.owner, None)
    settings = settings_for(ServiceSettings, access.serving, kafka_bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    events = [sent(f"order-{number % 7}") for number in range(100)]
    async with open_database(settings) as db:
        await append_now(db, *events)
        await _relay(settings, len(events))
        assert await unsent(db) == []
        server.kill()
    server.start()
    async with open_database(settings) as db:
        assert await unsent(db) == [event.id for event in events]
        await _relay(settings, len(events))
        assert await unsent(db) == []
    records = await published(settings)
    assert len(records) == 2 * len(events)
    assert first_seen(records) == by_key(events)


async def _relay(settings: ServiceSettings, expected: int) -> None:
    relay = Relay(settings, TOPIC)
    try:
        assert await relay.run_once() == expected
    finally:
        await relay.close()
