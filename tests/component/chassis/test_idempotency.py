import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from google.protobuf.message import Message
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_service_pb2

from ops.local.databases import Access
from services.chassis.config import ServiceSettings
from services.chassis.db import Database, Transaction
from services.chassis.errors import Refused, RequestIdReused, RequestInProgress
from services.chassis.idempotency import (
    DONE,
    FAILED,
    Claim,
    ClaimOutcome,
    Request,
    Step,
    advance,
    claim,
    failure,
    hash_body,
    once,
    purge,
    take_over,
)
from services.chassis.testing import open_database, settings_for, wait_until

pytestmark = [pytest.mark.requirement("S-5"), pytest.mark.requirement("R-2.13")]

LEASE = timedelta(seconds=30)
BODY = b"b" * 32
WHOLE_TABLE_READS = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'idempotency_keys'"


@pytest.fixture
def settings(database: Callable[[str], Access]) -> ServiceSettings:
    return settings_for(ServiceSettings, database("chassis").serving)


@pytest.fixture
async def db(settings: ServiceSettings) -> AsyncIterator[Database]:
    async with open_database(settings) as opened:
        yield opened


def request(request_id: str = "r1", *, body: bytes = BODY, subject: str = "order-1") -> Request:
    return Request("demo", "CreateOrder", request_id, body, subject, body=b"cart")


async def claimed(db: Database, *requests: Request, lease: timedelta = LEASE) -> list[Claim]:
    return await db.run(lambda tx: claim(tx, requests, lease=lease, first_phase="CLAIMED"))


async def advanced(db: Database, *steps: Step) -> list[bool]:
    return await db.run(lambda tx: advance(tx, steps))


async def end_leases(db: Database) -> None:
    await db.fetch("UPDATE idempotency_keys SET lease_until = clock_timestamp() - interval '1 second' RETURNING 1")


async def test_the_first_claim_is_fresh_and_fixes_the_subject(db: Database) -> None:
    (first,) = await claimed(db, request(subject="order-1"))
    assert (first.outcome, first.subject, first.phase, first.fence) == (ClaimOutcome.FRESH, "order-1", "CLAIMED", 1)
    await end_leases(db)
    (second,) = await claimed(db, request(subject="order-2"))
    assert (second.outcome, second.subject, second.fence) == (ClaimOutcome.RESUMED, "order-1", 2)


async def test_another_try_while_the_lease_runs_is_told_when_to_come_again(db: Database) -> None:
    await claimed(db, request())
    (second,) = await claimed(db, request())
    assert second.outcome is ClaimOutcome.IN_PROGRESS
    assert timedelta(seconds=25) < second.retry_after <= LEASE
    assert isinstance(second.refusal(), RequestInProgress)


async def test_another_body_is_refused_in_every_phase(db: Database) -> None:
    (first,) = await claimed(db, request())
    (other,) = await claimed(db, request(body=b"x" * 32))
    assert other.outcome is ClaimOutcome.BODY_DIFFERS
    assert isinstance(other.refusal(), RequestIdReused)
    await end_leases(db)
    assert (await claimed(db, request(body=b"x" * 32)))[0].outcome is ClaimOutcome.BODY_DIFFERS
    assert await advanced(db, Step(first.key, 1, "CLAIMED", DONE, b"answer")) == [True]
    assert (await claimed(db, request(body=b"x" * 32)))[0].outcome is ClaimOutcome.BODY_DIFFERS


async def test_the_same_try_meets_its_own_lease(db: Database) -> None:
    """A batch whose commit was not heard of is claimed again by the same tries (F-24)."""
    mine = request()
    assert (await claimed(db, mine))[0].outcome is ClaimOutcome.FRESH
    assert (await claimed(db, mine))[0].outcome is ClaimOutcome.FRESH
    await advanced(db, Step(mine.key, 1, "CLAIMED", "PLACED"))
    (again,) = await claimed(db, mine)
    assert (again.outcome, again.phase, again.fence) == (ClaimOutcome.RESUMED, "PLACED", 1)


async def test_callers_and_methods_have_their_own_ids(db: Database) -> None:
    others = [
        Request("demo", "CreateOrder", "r1", BODY, "a"),
        Request("gateway", "CreateOrder", "r1", BODY, "b"),
        Request("demo", "CancelOrder", "r1", BODY, "c"),
    ]
    claims = await claimed(db, *others)
    assert [(c.outcome, c.subject) for c in claims] == [(ClaimOutcome.FRESH, subject) for subject in "abc"]


async def test_one_key_twice_in_a_batch_counts_once(db: Database) -> None:
    one, same, other = request("r1"), request("r1", subject="order-9"), request("r1", body=b"x" * 32)
    claims = await claimed(db, request("r0"), one, same, other)
    assert [c.outcome for c in claims] == [
        ClaimOutcome.FRESH,
        ClaimOutcome.FRESH,
        ClaimOutcome.IN_PROGRESS,
        ClaimOutcome.BODY_DIFFERS,
    ]
    assert claims[2].subject == "order-1"


async def test_ten_tries_at_once_make_one_owner(settings: ServiceSettings) -> None:
    async with open_database(settings.model_copy(update={"pool_size": 10})) as db:
        claims = await asyncio.gather(*(claimed(db, request(), request("r2")) for _ in range(10)))
    for key in (0, 1):
        outcomes = [pair[key].outcome for pair in claims]
        assert outcomes.count(ClaimOutcome.FRESH) == 1
        assert outcomes.count(ClaimOutcome.IN_PROGRESS) == 9


async def test_keys_are_locked_in_their_order(db: Database) -> None:
    """Two processes that claim or advance the same keys in opposite orders would deadlock (F-58, S-4)."""
    await claimed(db, request("a"), request("b"))
    keys = [request("b"), request("a")]
    steps = [Step(key.key, 1, "CLAIMED", "PLACED") for key in keys]
    for work in (
        lambda tx: claim(tx, keys, lease=LEASE, first_phase="CLAIMED"),
        lambda tx: advance(tx, steps),
    ):
        async with db.transaction() as blocker:
            await blocker.fetch("SELECT FROM idempotency_keys WHERE request_id = 'a' FOR UPDATE")
            task = asyncio.create_task(db.run(work))
            await wait_until(lambda: db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            async with db.transaction() as other:
                await other.fetch("SELECT FROM idempotency_keys WHERE request_id = 'b' FOR UPDATE NOWAIT")
        await task


async def test_a_phase_advances_for_the_fence_and_phase_only(db: Database) -> None:
    (mine,) = await claimed(db, request())
    await end_leases(db)
    (taker,) = await claimed(db, request())
    assert await advanced(db, Step(mine.key, mine.fence, "CLAIMED", "PLACED")) == [False]
    assert await advanced(db, Step(taker.key, taker.fence, "PLACED", DONE)) == [False]
    steps = Step(taker.key, taker.fence, "CLAIMED", "PLACED"), Step(("demo", "CreateOrder", "no"), 1, "CLAIMED", DONE)
    assert await advanced(db, *steps) == [True, False]
    assert await advanced(db, Step(taker.key, taker.fence, "CLAIMED", "PLACED")) == [False]


async def test_of_two_steps_of_one_key_only_that_of_its_fence_moves_it(db: Database) -> None:
    """A try and the one that took it over may meet in one batch."""
    (mine,) = await claimed(db, request())
    await end_leases(db)
    (taker,) = await claimed(db, request())
    steps = [Step(each.key, each.fence, "CLAIMED", DONE, b"ids") for each in (mine, taker)]
    assert await advanced(db, *steps) == [False, True]


async def test_a_lease_can_be_prolonged_with_a_step(db: Database) -> None:
    (mine,) = await claimed(db, request(), lease=timedelta(seconds=1))
    await db.run(lambda tx: advance(tx, [Step(mine.key, 1, "CLAIMED", "PLACED")], lease=timedelta(minutes=5)))
    (other,) = await claimed(db, request())
    assert other.retry_after > timedelta(minutes=4)


async def test_what_ended_is_answered_from_the_row(db: Database) -> None:
    done, failed = await claimed(db, request("r1"), request("r2"))
    answer = failure(Refused("no stock", sku="MUG"))
    await advanced(db, Step(done.key, 1, "CLAIMED", DONE, b"ids"), Step(failed.key, 1, "CLAIMED", FAILED, answer))
    await end_leases(db)
    replayed, refused = await claimed(db, request("r1"), request("r2"))
    assert (replayed.outcome, replayed.answer, replayed.refusal()) == (ClaimOutcome.REPLAY, b"ids", None)
    error = refused.refusal()
    assert isinstance(error, Refused)
    assert (error.message, error.metadata) == ("no stock", {"sku": "MUG"})
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys WHERE body IS NOT NULL") == 0


async def test_the_completer_takes_over_what_nobody_works_on(db: Database) -> None:
    first, second, live = await claimed(db, request("r1"), request("r2"), request("r3"))
    await advanced(db, Step(first.key, 1, "CLAIMED", "PLACED"), Step(second.key, 1, "CLAIMED", DONE, b""))
    assert await db.run(lambda tx: take_over(tx, "CreateOrder", ["PLACED"], 10, lease=LEASE)) == []
    await end_leases(db)
    (taken,) = await db.run(lambda tx: take_over(tx, "CreateOrder", ["PLACED", DONE], 10, lease=LEASE))
    assert (taken.key, taken.fence, taken.phase, taken.request.body) == (first.key, 2, "PLACED", b"cart")
    assert await advanced(db, Step(first.key, 1, "PLACED", DONE)) == [False]
    assert await advanced(db, Step(taken.key, taken.fence, "PLACED", DONE, b"a")) == [True]
    assert live.phase == "CLAIMED"


async def test_two_completers_take_different_requests(db: Database) -> None:
    await claimed(db, *(request(f"r{n}") for n in range(6)))
    await end_leases(db)
    async with db.transaction() as one, db.transaction() as two:
        mine = await take_over(one, "CreateOrder", ["CLAIMED"], 4, lease=LEASE)
        theirs = await take_over(two, "CreateOrder", ["CLAIMED"], 4, lease=LEASE)
    assert (len(mine), len(theirs)) == (4, 2)
    assert not {c.key for c in mine} & {c.key for c in theirs}


async def test_only_ended_requests_are_purged(db: Database) -> None:
    claims = await claimed(db, *(request(f"r{n}") for n in range(4)))
    await advanced(db, Step(claims[0].key, 1, "CLAIMED", DONE), Step(claims[1].key, 1, "CLAIMED", FAILED, b""))
    await advanced(db, Step(claims[2].key, 1, "CLAIMED", "PLACED"))
    assert await db.run(lambda tx: purge(tx, timedelta(hours=24), 10)) == 0
    await db.fetch("UPDATE idempotency_keys SET updated_at = updated_at - interval '25 hours' RETURNING 1")
    assert await db.run(lambda tx: purge(tx, timedelta(hours=24), 1)) == 1
    assert await db.run(lambda tx: purge(tx, timedelta(hours=24), 10)) == 1
    assert await db.fetchval("SELECT array_agg(phase ORDER BY phase) FROM idempotency_keys") == ["CLAIMED", "PLACED"]


async def test_once_runs_the_effect_once(settings: ServiceSettings) -> None:
    effects = 0

    async def effect() -> Message:
        nonlocal effects
        effects += 1
        return common_pb2.Money(amount_minor=effects, currency="GBP")

    async with open_database(settings.model_copy(update={"pool_size": 10})) as db:
        answers = await asyncio.gather(*(db.run(lambda tx: once(tx, request(), effect)) for _ in range(10)))
        with pytest.raises(RequestIdReused):
            await db.run(lambda tx: once(tx, request(body=b"x" * 32), effect))
    assert effects == 1
    assert {common_pb2.Money.FromString(answer).amount_minor for answer in answers} == {1}


async def test_once_may_be_tried_again_after_an_error(db: Database) -> None:
    async def refuse() -> Message:
        raise Refused

    async def effect() -> Message:
        return common_pb2.Money(amount_minor=1)

    async def body(tx: Transaction) -> bytes:
        return await once(tx, request(), refuse)

    with pytest.raises(Refused):
        await db.run(body)
    assert common_pb2.Money.FromString(await db.run(lambda tx: once(tx, request(), effect))).amount_minor == 1


async def test_the_hash_ignores_the_request_id_and_the_order_of_maps() -> None:
    one = orders_service_pb2.CreateOrderRequest(request_id="1", currency="GBP", metadata={"a": "1", "b": "2"})
    same = orders_service_pb2.CreateOrderRequest(request_id="2", currency="GBP", metadata={"b": "2", "a": "1"})
    other = orders_service_pb2.CreateOrderRequest(request_id="1", currency="EUR", metadata={"a": "1", "b": "2"})
    assert hash_body(one) == hash_body(same) != hash_body(other)
    assert one.request_id == "1"
    assert len(hash_body(common_pb2.Money(amount_minor=1))) == 32


@pytest.mark.requirement("F-57")
async def test_moving_keys_reads_no_whole_table_however_small_it_looks(db: Database) -> None:
    known = await claimed(db, *(request(f"r{number:04}") for number in range(500)))
    steps = [Step(each.key, each.fence, each.phase, DONE, b"answer") for each in known[:64]]
    async with db.transaction() as tx:
        before = await tx.fetchval(WHOLE_TABLE_READS)
        assert all(await advance(tx, steps))
        assert await tx.fetchval(WHOLE_TABLE_READS) == before
