"""PostgreSQL of the local stack: what a crash leaves behind does not stand in the next start's way."""

import threading
from collections.abc import Iterator

import asyncpg
import psutil
import pytest

from ops.local import paths, ports
from ops.local.postgres import Postgres

pytestmark = pytest.mark.serial
LATE_SECONDS = 0.5  # how long a worker takes to notice that its server has gone


@pytest.fixture
def server() -> Iterator[Postgres]:
    folder = paths.temporary_folder("onefold-test-")
    made = Postgres(folder / "postgres", ports.free_port(), durable=False).start()
    yield made
    made.purge()
    paths.purge(folder)
    folder.rmdir()


async def test_a_killed_server_can_be_started_at_once(server: Postgres) -> None:
    connection = await asyncpg.connect(server.dsn())
    worker = psutil.Process(connection.get_server_pid())
    worker.suspend()
    noticed = threading.Event()

    def notice() -> None:
        noticed.set()
        worker.resume()

    late = threading.Timer(LATE_SECONDS, notice)
    late.start()
    server.kill()
    assert noticed.is_set()
    late.join()
    connection.terminate()
    again = await asyncpg.connect(server.start().dsn())
    await again.close()
