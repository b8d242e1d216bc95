"""A shop on databases and topics of its own; the tests of one file share it, each with goods and orders of its own."""

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from ops.local import templates, topics
from ops.local.databases import Access
from tests.flow.opening import open_shop
from tests.flow.shop import Shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(postgres_dsn: str, kafka_bootstrap: str) -> AsyncIterator[Shop]:
    made: list[str] = []

    def database(service: str) -> Access:
        access = templates.clone(postgres_dsn, service)
        made.append(access.name)
        return access

    prefix = f"f{secrets.token_hex(4)}."
    await topics.create(kafka_bootstrap, prefix)
    try:
        async with open_shop(database, kafka_bootstrap, prefix) as opened:
            yield opened
    finally:
        await topics.delete(kafka_bootstrap, prefix)
        templates.drop(postgres_dsn, made)
