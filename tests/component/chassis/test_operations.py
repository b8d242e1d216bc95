import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.clock import ManualClock
from services.chassis.db import Database
from services.chassis.errors import NotFound
from services.chassis.incidents import list_open
from services.chassis.operations import (
    UNSETTLED,
    WITHDRAWN,
    BackOff,
    Declined,
    Operation,
    OperationState,
    PlannedOperation,
    Retryable,
    Unknown,
    list_operations,
    operation_id,
    withdraw,
)
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import NOW, AnswerLost
from tests.component.chassis.operating import (
    CREATE,
    ORDER,
    PARAMETERS,
    Provider,
    effects,
    planned,
    read,
    runner,
    some,
)

pytestmark = [pytest.mark.requirement("S-15"), pytest.mark.requirement("R-1.4")]


async def test_what_was_planned_is_sent_as_stored_and_settled_with_its_effect(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    operation_id = await planned(db)
    operation = await runner(db, clock, provider).run_now(operation_id)
    (sent,) = provider.sent
    assert sent.state is OperationState.SENT
    assert sent.parameters == PARAMETERS
    assert sent.request == CREATE.request
    assert sent.idempotency_key == operation_id == CREATE.id
    assert sent.first_sent_at == clock.now()
    assert operation.state is OperationState.SUCCEEDED
    assert operation.answer == {"id": "pi_1"}
    assert operation.settled_at == clock.now()
    assert await effects(db) == ["SUCCEEDED"]
    assert await runner(db, clock, provider).run_now(operation_id) == operation
    assert await runner(db, clock, provider).run_once() == 0
    assert len(provider.sent) == 1


async def test_a_number_is_planned_once(db: Database, clock: ManualClock) -> None:
    await planned(db)
    await planned(db, PlannedOperation("create", ORDER, 1, "stripe", b'{"other":1}', NOW))
    await planned(db, PlannedOperation("create", ORDER, 2, "stripe", b"{}", NOW))
    rows = await list_operations(db, ORDER, ["create"])
    assert [(row.number, row.request) for row in rows] == [(1, CREATE.request), (2, b"{}")]
    assert len({row.id for row in rows}) == 2
    assert operation_id("create", ORDER, 1) == CREATE.id
    assert CREATE.id.startswith("0190aaaa-0000-7")
    assert operation_id("create", "no uuid", 1).startswith("00000000-0000-7")


async def test_it_is_marked_sent_before_it_is_sent_and_no_transaction_is_open(db: Database, clock: ManualClock) -> None:
    seen: list[Any] = []

    async def look(operation: Operation) -> dict[str, Any]:
        seen.append((await read(db, operation.id)).state)
        seen.append(
            await db.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
        )
        return {"id": "pi_1"}

    await runner(db, clock, Provider(look)).run_now(await planned(db))
    assert seen == [OperationState.SENT, 0]


async def test_ten_callers_make_one_call(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    operation_id = await planned(db)
    runners = [runner(db, clock, provider) for _ in range(2)]
    operations = await asyncio.gather(*(runners[turn % 2].run_now(operation_id) for turn in range(10)))
    assert len(provider.sent) == 1
    assert {operation.id for operation in operations} == {operation_id}
    assert await effects(db) == ["SUCCEEDED"]


@pytest.mark.requirement("F-41")
async def test_a_caller_that_goes_away_stops_nothing(db: Database, clock: ManualClock) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Operation) -> dict[str, Any]:
        under_way.set()
        await go_on.wait()
        return {"id": "pi_1"}

    runs = runner(db, clock, Provider(slow))
    caller = asyncio.create_task(runs.run_now(await planned(db)))
    await under_way.wait()
    caller.cancel()
    go_on.set()
    await asyncio.gather(caller, return_exceptions=True)
    await runs.close()
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED


async def test_a_refusal_fails_it_with_its_code(db: Database, clock: ManualClock) -> None:
    provider = Provider(Declined("card_declined", "Your card was declined.", {"decline_code": "lost_card"}))
    operation = await runner(db, clock, provider).run_now(await planned(db))
    assert (operation.state, operation.error_code) == (OperationState.FAILED, "card_declined")
    assert operation.answer == {"decline_code": "lost_card"}
    assert not operation.absent
    assert await effects(db) == ["FAILED"]


async def test_what_was_surely_not_executed_is_sent_again_without_a_look_up(db: Database, clock: ManualClock) -> None:
    provider = Provider(Retryable("429"), Retryable("429", after=timedelta(seconds=30)))
    runs = runner(db, clock, provider, back_off=BackOff(first=timedelta(seconds=2)))
    operation = await runs.run_now(await planned(db))
    assert (operation.state, operation.lease_until) == (OperationState.SENT, None)
    assert operation.next_try_at == clock.now() + timedelta(seconds=2)
    assert await runs.run_once() == 0
    clock.advance(timedelta(seconds=2))
    assert await runs.run_once() == 1
    clock.advance(timedelta(seconds=29))
    assert await runs.run_once() == 0
    clock.advance(timedelta(seconds=1))
    assert await runs.run_once() == 1
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED
    assert {(sent.request, sent.idempotency_key) for sent in provider.sent} == {(CREATE.request, CREATE.id)}
    assert len(provider.sent) == 3
    assert provider.looked_up == []


@pytest.mark.requirement("F-61")
async def test_nothing_becomes_sent_while_all_places_are_taken(db: Database, clock: ManualClock) -> None:
    release = asyncio.Event()
    provider = Provider()

    async def slow(operation: Operation) -> dict[str, Any]:
        await release.wait()
        return provider.execute(operation)

    provider.script += [slow] * 5
    for number in range(1, 6):
        await planned(db, PlannedOperation("create", ORDER, number, "stripe", b"{}", NOW))
    running = asyncio.create_task(runner(db, clock, provider, max_in_flight=2).run_once())
    await wait_until(lambda: len(provider.sent) == 2)
    states = [operation.state for operation in await list_operations(db, ORDER)]
    assert sorted(states) == ["PLANNED"] * 3 + ["SENT"] * 2
    release.set()
    assert await running == 5
    assert len(provider.executed) == 5


async def test_a_slow_call_holds_up_no_other_and_places_are_limited(db: Database, clock: ManualClock) -> None:
    release = asyncio.Event()
    provider = Provider()

    async def slow(operation: Operation) -> dict[str, Any]:
        await release.wait()
        return provider.execute(operation)

    provider.script.append(slow)
    calls = runner(db, clock, provider, max_in_flight=2)
    await planned(db)
    assert await calls.start_due() == 1
    await wait_until(lambda: len(provider.sent) == 1)
    for number in (2, 3):
        await planned(db, PlannedOperation("create", ORDER, number, "stripe", b"{}", NOW))
    assert [await calls.start_due(), await calls.start_due()] == [1, 1]  # the second waits for the first's place
    await wait_until(lambda: len(provider.executed) == 2)
    assert await calls.start_due() == 0
    release.set()
    await calls.close()
    assert len(provider.executed) == 3


async def test_an_effect_that_fails_rolls_the_outcome_back_and_comes_again(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    provider.settle_errors.append(ValueError("a bug"))
    runs = runner(db, clock, provider)
    operation = await runs.run_now(await planned(db))
    assert operation.state is OperationState.UNKNOWN
    assert await effects(db) == []
    assert [incident.subject for incident in await list_open(db, kind=UNSETTLED)] == [CREATE.id]
    clock.advance(timedelta(minutes=1))
    assert await runs.run_once() == 1
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED
    assert await effects(db) == ["SUCCEEDED"]
    assert len(provider.sent) == 1


@pytest.mark.requirement("S-29")
async def test_a_lost_connection_while_settling_is_tried_again(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    provider.settle_errors.append(ConnectionResetError("gone"))
    operation = await runner(db, clock, provider).run_now(await planned(db))
    assert operation.state is OperationState.SUCCEEDED
    assert await effects(db) == ["SUCCEEDED"]


@pytest.mark.requirement("S-29")
async def test_an_outcome_whose_commit_was_not_heard_of_has_its_effect_once(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    lossy = AnswerLost.of(db)
    lossy.lost = True
    operation_id = await planned(db)

    async def execute_and_then_lose(operation: Operation) -> dict[str, Any]:
        lossy.lost = False
        return provider.execute(operation)

    provider.script.append(execute_and_then_lose)
    operation = await runner(lossy, clock, provider).run_now(operation_id)
    assert lossy.lost
    assert operation.state is OperationState.SUCCEEDED
    assert await effects(db) == ["SUCCEEDED"]


async def test_only_what_was_surely_never_executed_can_be_withdrawn(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("lost"), Retryable("429"))
    await planned(db)
    refused, fresh = [
        await planned(db, PlannedOperation("create", ORDER, number, "stripe", b"{}", NOW)) for number in (2, 3)
    ]
    for each in (CREATE.id, refused):
        await runner(db, clock, provider).run_now(each)
    async with db.transaction() as tx:
        assert await withdraw(tx, [CREATE.id, refused, fresh], now=clock.now()) == {refused, fresh}
    for each in (refused, fresh):
        assert (await read(db, each)).error_code == WITHDRAWN
        assert (await runner(db, clock, provider).run_now(each)).state is OperationState.FAILED
    assert len(provider.sent) == 2


async def test_an_unknown_id_is_not_found(db: Database, clock: ManualClock) -> None:
    with pytest.raises(NotFound):
        await runner(db, clock, Provider()).run_now(CREATE.id)


def test_pauses_double_up_to_the_longest() -> None:
    back_off = BackOff(first=timedelta(seconds=1), longest=timedelta(seconds=10))
    assert [back_off.pause(tries).total_seconds() for tries in (0, 1, 2, 3, 4, 5, 99)] == [1, 1, 2, 4, 8, 10, 10]


@pytest.mark.requirement("R-5.6")
async def test_what_ends_together_is_settled_together_and_poison_hurts_nobody_else(
    db: Database, clock: ManualClock
) -> None:
    provider, operations = Provider(), some(4)
    provider.answers_together(4)
    for operation in operations:
        await planned(db, operation)
    bad = operations[1]
    provider.poisoned = {bad.subject}
    assert await runner(db, clock, provider).run_once() == 4
    assert max(len(group) for group in provider.groups) > 1
    assert len(provider.sent) == 4
    states = {one.id: (await read(db, one.id)).state for one in operations}
    assert states.pop(bad.id) is OperationState.UNKNOWN
    assert set(states.values()) == {OperationState.SUCCEEDED}
    assert await effects(db) == ["SUCCEEDED"] * 3
    assert [incident.subject for incident in await list_open(db, kind=UNSETTLED)] == [bad.id]


async def test_answers_about_one_subject_are_settled_one_after_the_other(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    provider.answers_together(3)
    for number in (1, 2, 3):
        await planned(db, PlannedOperation("create", ORDER, number, "stripe", b"{}", NOW))
    assert await runner(db, clock, provider).run_once() == 3
    assert [len(group) for group in provider.groups] == [1, 1, 1]
    assert await effects(db) == ["SUCCEEDED"] * 3
