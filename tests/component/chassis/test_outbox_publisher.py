import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.config import ServiceSettings
from services.chassis.outbox.murmur import partitions_of
from services.chassis.outbox.publisher import NotAcknowledged, Publisher
from services.chassis.testing import settings_for, wait_until
from tests.component.chassis.messaging import TOPIC, sent
from tests.component.chassis.relaying import by_key, first_seen, published

pytestmark = pytest.mark.requirement("S-24")


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str) -> ServiceSettings:
    return settings_for(
        ServiceSettings, "postgresql://nowhere", kafka_bootstrap=kafka_bootstrap, topic_prefix=topic_prefix
    )


@pytest.fixture
async def publisher(settings: ServiceSettings) -> AsyncIterator[Publisher]:
    started = Publisher(settings.kafka_bootstrap, f"{settings.topic_prefix}{TOPIC}", "onefold/orders", timeout_s=5.0)
    await started.start()
    yield started
    await started.drop()


class Held:
    """Acknowledgements of the producer, which come when the test says so."""

    def __init__(self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[int] = []
        self.released = asyncio.Event()
        self.error: Exception | None = None
        self._send_batch = publisher._producer.send_batch
        monkeypatch.setattr(publisher._producer, "send_batch", self.send_batch)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        self.sent.append(partition)
        acknowledged = await self._send_batch(batch, topic, partition=partition)
        return asyncio.ensure_future(self._when_released(acknowledged))

    async def _when_released(self, acknowledged: Any) -> Any:
        await self.released.wait()
        if self.error:
            raise self.error
        return await acknowledged


async def test_what_comes_later_waits_for_the_acknowledgement_and_other_partitions_do_not(
    publisher: Publisher, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(publisher, monkeypatch)
    elsewhere = next(key for key in map(str, range(100)) if place(key) != place("order-1"))
    events = [sent("order-1"), sent("order-1"), sent(elsewhere)]
    calls = [asyncio.create_task(publisher.publish([row(event, at)])) for at, event in enumerate(events)]
    await wait_until(lambda: len(held.sent) == 2)
    assert held.sent == [place("order-1"), place(elsewhere)]
    held.released.set()
    await asyncio.gather(*calls)
    assert first_seen(await published(settings)) == by_key(events)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_comes_later_is_not_sent_behind_a_batch_that_failed(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    held = Held(publisher, monkeypatch)
    first, second = (asyncio.create_task(publisher.publish([row(sent("order-1"), at)])) for at in (1, 2))
    await wait_until(lambda: held.sent)
    if is_cancelled:
        first.cancel()
    else:
        held.error = TimeoutError()
        held.released.set()
    with pytest.raises(ExceptionGroup) as failed:
        await second
    assert isinstance(failed.value.exceptions[0], NotAcknowledged)
    assert held.sent == [place("order-1")]
    await asyncio.gather(first, return_exceptions=True)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.integers(1, 64))
def test_keys_go_where_every_client_of_kafka_puts_them(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]


def place(key: str) -> int:
    return partitions_of([key.encode()], 8)[0]


class Row(dict[str, Any]):
    """A row of the outbox as the relay reads it: its fields by name, and in their order."""

    def __iter__(self) -> Any:
        return iter(self.values())


def row(event: Any, position: int) -> Row:
    return Row(
        position=position,
        id=event.id,
        aggregateid=event.key,
        type=event.type,
        payload=event.payload,
        quoted_time='"2026-03-02T09:30:00"',
        traceparent="",
    )
