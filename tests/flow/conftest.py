"""A shop on databases and topics of its own; the tests of one file share it, each with goods and orders of its own."""

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from ops.audit.run import audit
from ops.audit.sources import Places
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
            await opened.settle()
            verdict = await audit(places_of(opened), at_rest=True, patience_seconds=0)
            assert [str(each) for each in verdict.breaches] == []
    finally:
        await topics.delete(kafka_bootstrap, prefix)
        templates.drop(postgres_dsn, made)


def places_of(shop: Shop) -> Places:
    """For the audit: what a shop has; there are no mails and no archive."""
    return Places(
        databases={name: node.settings.database_url for name, node in shop.nodes.items()},
        kafka=shop.kafka_bootstrap,
        topic_prefix=shop.topic_prefix,
        simulators=shop.sim.url,
    )
