"""Fixtures of all tests: databases from a template, topics of their own, a clock that tests move.

Why: tests share one PostgreSQL and one Kafka per run, started only when the first test wants them, and nothing else.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from ops.local import shared, templates, topics
from ops.local.blocking import blocking
from ops.local.databases import Access
from services.chassis.clock import ManualClock

RUN = pytest.StashKey[shared.Run]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the run in the process that the developer started; workers find it through the environment."""
    # Tests start processes while gRPC's threads run; its handlers of fork() may then abort the new process.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if shared.RUN_VARIABLE not in os.environ:
        config.stash[RUN] = shared.Run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run: what was started is stopped."""
    run = config.stash.get(RUN, None)
    if run is not None:
        run.end()


@pytest.fixture(scope="session")
def postgres_dsn() -> str:
    """Address of the run's PostgreSQL, for its superuser. fsync is off."""
    return str(shared.server("postgres")["dsn"])


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """Address of the run's Kafka, `host:port`."""
    return str(shared.server("kafka")["bootstrap"])


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[Callable[[str], Access]]:
    """`database("orders")`: a fresh, migrated database of the test's own; "chassis" has the chassis' tables only."""
    made: list[str] = []

    def clone(service: str) -> Access:
        access = templates.clone(postgres_dsn, service)
        made.append(access.name)
        return access

    yield clone
    templates.drop(postgres_dsn, made)


@pytest.fixture
def topic_prefix(kafka_bootstrap: str) -> Iterator[str]:
    """A prefix with the four services' topics below it: `t1a2b3c4.onefold.orders.v1` and so on, 8 partitions each."""
    prefix = f"t{secrets.token_hex(4)}."
    blocking(topics.create(kafka_bootstrap, prefix))
    yield prefix
    blocking(topics.delete(kafka_bootstrap, prefix))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock(datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
