"""A database with the chassis' tables, and one row per effect of an event."""

from collections.abc import AsyncIterator, Callable

import pytest

from ops.local.databases import Access
from services.chassis.config import ServiceSettings
from services.chassis.db import Database
from services.chassis.outbox import Relay
from services.chassis.testing import open_database, settings_for
from tests.component.chassis.messaging import TOPIC, create_effects


@pytest.fixture
def access(database: Callable[[str], Access]) -> Access:
    """Addresses of a fresh database."""
    return database("chassis")


@pytest.fixture
def settings(access: Access) -> ServiceSettings:
    """Settings of a process on that database."""
    return settings_for(ServiceSettings, access.serving)


@pytest.fixture
def on_kafka(access: Access, kafka_bootstrap: str, topic_prefix: str) -> ServiceSettings:
    """Settings of a process on that database and on topics of its own."""
    return settings_for(ServiceSettings, access.serving, kafka_bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)


@pytest.fixture
async def relay(on_kafka: ServiceSettings) -> AsyncIterator[Relay]:
    """Outbox to Kafka."""
    made = Relay(on_kafka, TOPIC)
    yield made
    await made.close()


@pytest.fixture
async def db(access: Access, settings: ServiceSettings) -> AsyncIterator[Database]:
    """That database, with the table of effects."""
    await create_effects(access.owner)
    async with open_database(settings) as opened:
        yield opened
