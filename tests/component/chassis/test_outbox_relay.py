import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from prometheus_client import REGISTRY

from services.chassis.config import ServiceSettings
from services.chassis.db import Database, is_broken_plumbing
from services.chassis.outbox import OutgoingEvent, Relay, append
from services.chassis.outbox.publisher import Publisher
from services.chassis.telemetry import new_traceparent, traced
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import TOPIC, sent
from tests.component.chassis.relaying import Link, append_now, by_key, first_seen, published, unsent

pytestmark = [pytest.mark.requirement("S-24"), pytest.mark.requirement("R-5.2")]


END_RELAY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE '%relay'
"""


@pytest.fixture
def settings(on_kafka: ServiceSettings) -> ServiceSettings:
    return on_kafka


@pytest.mark.requirement("R-5.3")
async def test_events_become_cloud_events_and_leave_the_outbox(db: Database, settings: ServiceSettings) -> None:
    with traced(new_traceparent()):
        event = sent("order-1")
    relay = Relay(settings, TOPIC)
    try:
        await append_now(db, event)
        assert await relay.run_once() == 1
        assert await relay.run_once() == 0
    finally:
        await relay.close()
    assert await unsent(db) == []
    (record,) = await published(settings)
    assert record.key == b"order-1"
    assert record.value == event.payload
    assert record.partition == (murmur2(b"order-1") & 0x7FFFFFFF) % 8
    assert {name: value.decode() for name, value in record.headers} == {
        "id": event.id,
        "ce_id": event.id,
        "ce_type": "onefold.orders.v1.OrderConfirmed",
        "ce_source": "onefold/orders",
        "ce_time": "2026-03-02T09:30:00Z",
        "ce_specversion": "1.0",
        "traceparent": event.traceparent,
    }


async def test_a_long_outbox_is_drained_once_and_in_order_per_key(db: Database, settings: ServiceSettings) -> None:
    events = [sent(f"order-{number % 100}") for number in range(9_000)]
    await append_now(db, *events)
    relay = Relay(settings, TOPIC)
    try:
        assert await relay.run_once() == len(events)
    finally:
        await relay.close()
    records = await published(settings)
    assert len(records) == len(events)
    assert first_seen(records) == by_key(events)
    assert await unsent(db) == []


async def test_large_events_are_spread_over_batches(db: Database, settings: ServiceSettings) -> None:
    large = [
        OutgoingEvent(event.id, event.type, "one", b"x" * 500_000, event.occurred_at, "") for event in map(sent, "abc")
    ]
    await append_now(db, *large)
    relay = Relay(settings, TOPIC)
    try:
        assert await relay.run_once() == 3
    finally:
        await relay.close()
    assert first_seen(await published(settings)) == by_key(large)


async def test_an_event_that_commits_late_is_not_passed_over(db: Database, settings: ServiceSettings) -> None:
    early, late = sent("order-1"), sent("order-2")
    relay = Relay(settings, TOPIC)
    try:
        async with db.transaction() as tx:
            await append(tx, [late])
            await append_now(db, early)
            assert await relay.run_once() == 1
        assert await relay.run_once() == 1
    finally:
        await relay.close()
    assert {dict(record.headers)["ce_id"].decode() for record in await published(settings)} == {early.id, late.id}


async def test_only_one_of_two_relays_leads(db: Database, settings: ServiceSettings) -> None:
    one, two = Relay(settings, TOPIC), Relay(settings, TOPIC)
    try:
        await append_now(db, sent("order-1"))
        assert await one.run_once() == 1
        await append_now(db, sent("order-1"))
        assert await two.run_once() == 0
        assert two.ready()
        await one.close()
        await wait_until(two.run_once)
    finally:
        await one.close()
        await two.close()
    assert await unsent(db) == []


async def test_a_leader_that_hangs_gives_way(db: Database, settings: ServiceSettings) -> None:
    hanging, next_leader = Relay(settings, TOPIC, send_timeout_s=1.0), Relay(settings, TOPIC)
    try:
        await append_now(db, sent("order-1"))
        assert await hanging.run_once() == 1
        await append_now(db, sent("order-1"))
        await wait_until(next_leader.run_once)  # meanwhile nothing runs of the first one, as under SIGSTOP
        assert await unsent(db) == []
    finally:
        await hanging.close()
        await next_leader.close()


async def test_a_leader_that_lost_its_session_deletes_nothing_and_begins_anew(
    db: Database, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [sent("order-1") for _ in range(10)]
    await append_now(db, *events)
    publish = Publisher.publish

    async def publish_and_lose_the_session(self: Publisher, rows: Sequence[Any]) -> None:
        await publish(self, rows)
        await db.fetch(END_RELAY)

    relay = Relay(settings, TOPIC)
    try:
        with monkeypatch.context() as once:
            once.setattr(Publisher, "publish", publish_and_lose_the_session)
            with pytest.raises(Exception) as lost:  # noqa: PT011  (which one depends on when the driver notices)
                await relay.run_once()
            assert is_broken_plumbing(lost.value)
        assert await unsent(db) == [event.id for event in events]
        assert not relay.ready()
        assert await wait_until(relay.run_once) == 10
    finally:
        await relay.close()
    records = await published(settings)
    assert len(records) == 20
    assert first_seen(records) == by_key(events)


async def test_after_a_lost_acknowledgement_all_is_sent_again_from_the_lowest_position(
    db: Database, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [sent(f"order-{number % 3}") for number in range(30)]
    await append_now(db, *events)
    publish = Publisher.publish

    async def publish_half(self: Publisher, rows: Sequence[Any]) -> None:
        await publish(self, rows[: len(rows) // 2])
        raise TimeoutError

    relay = Relay(settings, TOPIC)
    try:
        with monkeypatch.context() as once:
            once.setattr(Publisher, "publish", publish_half)
            with pytest.raises(TimeoutError):
                await relay.run_once()
        assert len(await unsent(db)) == 30
        successor = Relay(settings, TOPIC)
        try:
            assert await wait_until(successor.run_once) == 30
        finally:
            await successor.close()
    finally:
        await relay.close()
    assert first_seen(await published(settings)) == by_key(events)
    assert await unsent(db) == []


@pytest.mark.requirement("S-24")
async def test_a_broker_that_never_answers_holds_nothing_up(db: Database, settings: ServiceSettings) -> None:
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    mute = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{port}"})
    relay = Relay(mute, TOPIC, send_timeout_s=0.2)
    try:
        await append_now(db, sent("order-1"))
        async with asyncio.timeout(5):
            with pytest.raises((TimeoutError, KafkaError)):
                await relay.run_once()
        assert len(await unsent(db)) == 1
        healthy = Relay(settings, TOPIC)
        try:
            assert await wait_until(healthy.run_once) == 1
        finally:
            await healthy.close()
    finally:
        await relay.close()
        silent.close()


@pytest.mark.requirement("F-36")
async def test_a_broker_that_falls_silent_in_the_middle_does_not_hang_the_relay(
    db: Database, settings: ServiceSettings, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link(int(kafka_bootstrap.rpartition(":")[2]))
    await link.start()
    connect = AIOKafkaConnection.connect

    async def connect_through_the_link(self: AIOKafkaConnection) -> Any:
        self._port = link.port
        return await connect(self)

    monkeypatch.setattr(AIOKafkaConnection, "connect", connect_through_the_link)
    events = [sent("order-1") for _ in range(5)]
    relay = Relay(settings, TOPIC, send_timeout_s=1.0)
    try:
        await append_now(db, *events[:2])
        assert await relay.run_once() == 2
        link.silent = True
        await append_now(db, *events[2:4])
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError):
                await relay.run_once()
        assert await unsent(db) == [event.id for event in events[2:4]]
        link.silent = False
        await append_now(db, events[4])
        assert await relay.run_once() == 3
    finally:
        await relay.close()
        await link.close()
        monkeypatch.undo()
    assert first_seen(await published(settings)) == by_key(events)


async def test_the_component_is_woken_relays_and_stops(db: Database, settings: ServiceSettings) -> None:
    relay = Relay(settings.model_copy(update={"relay_poll_ms": 60_000}), TOPIC)
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    try:
        await wait_until(relay.ready)
        for number in range(5):
            await append_now(db, sent(f"order-{number}"))
            await wait_until(lambda: db.fetchval("SELECT count(*) = 0 FROM outbox"))
    finally:
        stop.set()
        await asyncio.wait_for(running, 5)
    assert len(await published(settings)) == 5
    assert not relay.ready()


async def test_a_backlog_that_kafka_cannot_take_at_once_goes_in_smaller_parts(
    db: Database, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Publisher.publish

    async def slow(self: Publisher, rows: Sequence[Any]) -> None:
        if len(rows) > 100:
            raise TimeoutError  # so many do not go through before the relay's time is over
        await publish(self, rows)

    monkeypatch.setattr(Publisher, "publish", slow)
    await append_now(db, *(sent(f"order-{number}") for number in range(600)))
    relay, stop = Relay(settings, TOPIC), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))

    async def is_empty() -> bool:
        return not await unsent(db)

    try:
        await wait_until(is_empty, within=20.0)
    finally:
        stop.set()
        await running


@pytest.mark.requirement("R-6.3")
async def test_the_age_of_the_oldest_event_is_shown_while_kafka_is_away(
    db: Database, settings: ServiceSettings
) -> None:
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    await append_now(db, sent("order-1"))
    await db.fetch("UPDATE outbox SET appended_at = appended_at - interval '5 minutes'")
    relay = Relay(away, TOPIC, send_timeout_s=0.5)
    with pytest.raises((KafkaError, TimeoutError)):
        await relay.run_once()
    shown = REGISTRY.get_sample_value("onefold_outbox_oldest_seconds")
    assert shown is not None and 300 <= shown < 400
