from collections.abc import Mapping, Sequence

import asyncpg
import pytest

from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import (
    discard,
    list_parked,
    redrive,
)
from services.chassis.db import Database, Transaction
from services.chassis.inbox import IncomingEvent, Outcome
from services.chassis.testing import open_database
from tests.component.chassis.messaging import (
    CONSUMER,
    POISON,
    TOPIC,
    AnswerLost,
    applier,
    apply,
    effects,
    event,
    ids,
)

pytestmark = pytest.mark.requirement("R-5.6")

LOST = [
    ConnectionResetError("gone"),
    TimeoutError(),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.ConnectionDoesNotExistError("08003"),
    asyncpg.ReadOnlySQLTransactionError("25006"),
    asyncpg.TooManyConnectionsError("53300"),
    asyncpg.LockNotAvailableError("55P03"),
    asyncpg.AdminShutdownError("57P01"),
    asyncpg.exceptions.PostgresIOError("58030"),
]


@pytest.mark.requirement("S-26")
@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
async def test_broken_plumbing_parks_nothing_and_the_whole_batch_comes_again(
    db: Database, clock: ManualClock, error: Exception
) -> None:
    failures = [error]

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        outcomes = await apply(tx, fresh)
        if failures:
            raise failures.pop()
        return outcomes

    events = [event("order-1", 0), event("order-2", 1)]
    consumer = applier(db, clock, handler)
    with pytest.raises(type(error)):
        await consumer.apply(events)
    assert await list_parked(db) == []
    assert await effects(db) == []
    await consumer.apply(events)
    assert await effects(db) == ids(*events)


@pytest.mark.requirement("S-26")
async def test_a_statement_that_always_times_out_is_tried_alone_and_then_parked(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    sizes: list[int] = []

    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        sizes.append(len(fresh))
        if any(one.key == "order-1" for one in fresh):
            await tx.execute("SET LOCAL statement_timeout = 1")
            await tx.execute("SELECT count(*) FROM generate_series(1, 100000000)")
        return await apply(tx, fresh)

    events = [event("order-2", 0), event("order-1", 1), event("order-3", 2)]
    consumer = applier(db, clock, handler)
    for _ in range(3):
        with pytest.raises(asyncpg.QueryCanceledError):
            await consumer.apply(events)
    assert sizes == [3, 3, 3]
    for _ in range(2):
        with pytest.raises(asyncpg.QueryCanceledError):
            await consumer.apply(events)
    assert await list_parked(db) == []
    await consumer.apply(events)
    assert [parked.key for parked in await list_parked(db)] == ["order-1"]
    assert await effects(db) == ids(events[0], events[2])


@pytest.mark.requirement("S-26")
async def test_a_database_that_is_too_slow_for_all_does_not_park_one_key_after_the_other(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    async def handler(tx: Transaction, fresh: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        await tx.execute("SET LOCAL statement_timeout = 1")
        await tx.execute("SELECT count(*) FROM generate_series(1, 100000000)")
        return await apply(tx, fresh)

    consumer = applier(db, clock, handler)
    events = [event(f"order-{number}", number) for number in range(1, 5)]
    for tries, parked in ((6, 1), (1, 1), (1, 2)):  # each key has tries of its own
        for _ in range(tries):
            with pytest.raises(asyncpg.QueryCanceledError):
                await consumer.apply(events)
        assert len(await list_parked(db)) == parked


@pytest.mark.requirement("S-29")
async def test_a_commit_whose_answer_was_lost_is_recognised_and_not_repeated(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    events = [event("order-1", 0), event("order-2", 1)]
    async with open_database(settings) as opened:
        lossy = AnswerLost.of(opened)
        consumer = applier(lossy, clock)
        with pytest.raises(ConnectionResetError):
            await consumer.apply(events)
        assert await effects(db) == ids(*events)
        await consumer.apply(events)
    assert await effects(db) == ids(*events)


@pytest.mark.requirement("S-29")
async def test_a_redrive_whose_answer_was_lost_is_not_repeated(
    db: Database, settings: ServiceSettings, clock: ManualClock
) -> None:
    poison, later = event("order-1", 0, payload=POISON), event("order-1", 1)
    await applier(db, clock).apply([poison, later])
    await discard(db, CONSUMER, TOPIC, "order-1", (0, 0), actor="ada")
    async with open_database(settings) as opened:
        lossy = AnswerLost.of(opened)
        with pytest.raises(ConnectionResetError):
            await redrive(lossy, CONSUMER, TOPIC, "order-1", apply)
        assert not (await redrive(lossy, CONSUMER, TOPIC, "order-1", apply)).parked
    assert await effects(db) == ids(later)
