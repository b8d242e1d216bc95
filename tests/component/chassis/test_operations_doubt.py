import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.clock import ManualClock
from services.chassis.config import ServiceSettings
from services.chassis.db import Database
from services.chassis.incidents import list_open
from services.chassis.operations import (
    ABSENT,
    DELAYED,
    UNRESOLVED,
    Operation,
    OperationState,
    PlannedOperation,
    Retryable,
    Unknown,
    list_operations,
    withdraw,
)
from services.chassis.testing import open_database, wait_until
from tests.component.chassis.messaging import NOW
from tests.component.chassis.operating import (
    CREATE,
    HTTP_TIMEOUT,
    LOCKED,
    ORDER,
    Provider,
    effects,
    end_lease,
    planned,
    read,
    runner,
    some,
)

pytestmark = [pytest.mark.requirement("S-15"), pytest.mark.requirement("R-1.4")]


async def test_an_unknown_outcome_is_looked_up_after_the_lease(db: Database, clock: ManualClock) -> None:
    provider = Provider()
    provider.script.append(provider.execute_and_lose_the_answer)
    runs = runner(db, clock, provider)
    operation = await runs.run_now(await planned(db))
    assert operation.state is OperationState.UNKNOWN
    clock.advance(timedelta(hours=1))
    assert await runs.run_once() == 0
    await end_lease(db)
    assert await runs.run_once() == 1
    settled = await read(db, CREATE.id)
    assert (settled.state, settled.answer) == (OperationState.SUCCEEDED, {"id": "pi_1"})
    assert (len(provider.sent), len(provider.looked_up)) == (1, 1)


async def test_a_time_out_and_a_bug_are_unknown_too(db: Database, clock: ManualClock) -> None:
    async def hangs(_: Operation) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    quick = runner(db, clock, Provider(hangs), http_timeout=timedelta(milliseconds=50))
    assert (await quick.run_now(await planned(db))).state is OperationState.UNKNOWN
    second = PlannedOperation("create", ORDER, 2, "stripe", b"{}", NOW)
    buggy = runner(db, clock, Provider(KeyError("id")))
    assert (await buggy.run_now(await planned(db, second))).state is OperationState.UNKNOWN


async def test_what_is_not_found_is_sent_again_under_the_same_key(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("connection reset"))
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    await end_lease(db)
    clock.advance(timedelta(seconds=1))
    assert await runs.run_once() == 1
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED
    assert [sent.idempotency_key for sent in provider.sent] == [CREATE.id, CREATE.id]
    assert len(provider.looked_up) == 1


async def test_a_server_error_under_its_key_ends_in_the_next_number(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("500", key_spent=True))
    provider.plans_next = True
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    await end_lease(db)
    clock.advance(timedelta(seconds=1))
    assert await runs.run_once() == 1
    first, second = await list_operations(db, ORDER)
    assert (first.state, first.error_code, first.absent) == (OperationState.FAILED, ABSENT, True)
    assert (second.number, second.state) == (2, OperationState.PLANNED)
    assert await runs.run_once() == 1
    assert (await read(db, second.id)).state is OperationState.SUCCEEDED
    assert [sent.idempotency_key for sent in provider.sent] == [first.id, second.id]


async def test_a_server_error_that_was_executed_is_adopted(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("500", key_spent=True))
    runs = runner(db, clock, provider)
    provider.executed[await planned(db)] = {"id": "pi_7"}
    await runs.run_now(CREATE.id)
    await end_lease(db)
    clock.advance(timedelta(seconds=1))
    await runs.run_once()
    assert (await read(db, CREATE.id)).answer == {"id": "pi_7"}
    assert len(provider.sent) == 1


async def test_after_23_hours_nothing_is_sent_again_and_a_person_is_told(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("time-out"))
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    await end_lease(db)
    clock.advance(timedelta(hours=23))
    assert await runs.run_once() == 1
    operation = await read(db, CREATE.id)
    assert operation.state is OperationState.UNKNOWN
    assert operation.next_try_at == clock.now() + timedelta(hours=1)
    assert len(provider.sent) == 1
    (incident,) = await list_open(db, kind=UNRESOLVED)
    assert (incident.subject, incident.order_id) == (CREATE.id, ORDER)
    clock.advance(timedelta(hours=1))
    provider.execute(operation)
    assert await runs.run_once() == 1
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED


async def test_a_person_can_declare_it_absent(db: Database, clock: ManualClock) -> None:
    provider = Provider(Unknown("time-out"))
    provider.plans_next = True
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    assert (await runs.declare_absent(CREATE.id)).state is OperationState.UNKNOWN
    await end_lease(db)
    assert (await runs.declare_absent(CREATE.id)).absent
    assert [operation.number for operation in await list_operations(db, ORDER)] == [1, 2]


async def test_what_was_refused_for_23_hours_is_absent(db: Database, clock: ManualClock) -> None:
    provider = Provider(Retryable("429"))
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    clock.advance(timedelta(hours=23))
    assert await runs.run_once() == 1
    assert (await read(db, CREATE.id)).absent
    assert (len(provider.sent), provider.looked_up) == (1, [])


async def test_what_is_refused_for_an_hour_is_told_to_a_person_until_it_ends(db: Database, clock: ManualClock) -> None:
    provider = Provider(*[Retryable("403")] * 4)
    provider.plans_next = True
    runs = runner(db, clock, provider)
    await runs.run_now(await planned(db))
    clock.advance(timedelta(minutes=59))
    assert (await runs.run_once(), await list_open(db)) == (1, [])
    clock.advance(timedelta(minutes=10))
    assert await runs.run_once() == 1
    (incident,) = await list_open(db, kind=DELAYED)
    assert (incident.order_id, incident.details["error"]) == (ORDER, "403")
    clock.advance(timedelta(hours=22))
    assert await runs.run_once() == 1
    assert [row.absent for row in await list_operations(db, ORDER)] == [True, False]
    assert await runs.run_once() == 1
    assert [open_one.id for open_one in await list_open(db)] == [incident.id]
    clock.advance(timedelta(minutes=10))
    assert await runs.run_once() == 1
    assert await list_open(db) == []


@pytest.mark.parametrize("ends", ["taken back", "not wanted any more"])
async def test_what_was_delayed_and_is_asked_for_no_more_is_no_incident(
    db: Database, clock: ManualClock, ends: str
) -> None:
    runs = runner(db, clock, Provider(*[Retryable("429")] * 2))
    await runs.run_now(await planned(db))
    clock.advance(timedelta(hours=2))
    assert await runs.run_once() == 1
    assert [incident.kind for incident in await list_open(db)] == [DELAYED]
    if ends == "taken back":
        async with db.transaction() as tx:
            assert await withdraw(tx, [CREATE.id], now=clock.now()) == {CREATE.id}
    else:
        clock.advance(timedelta(hours=21))
        assert await runs.run_once() == 1
        assert (await read(db, CREATE.id)).absent
    assert await list_open(db) == []


@pytest.mark.requirement("S-16")
async def test_whoever_takes_over_waits_the_lease_out_and_looks_up_first(db: Database, clock: ManualClock) -> None:
    stuck, release = asyncio.Event(), asyncio.Event()
    provider = Provider()

    async def paused_after_sending(operation: Operation) -> dict[str, Any]:
        answer = provider.execute(operation)
        stuck.set()
        await release.wait()
        return answer

    provider.script.append(paused_after_sending)
    first, second = runner(db, clock, provider), runner(db, clock, provider)
    sending = asyncio.create_task(first.run_now(await planned(db)))
    await stuck.wait()
    before = await read(db, CREATE.id)
    assert before.lease_until is not None
    left = await db.fetchval("SELECT lease_until - clock_timestamp() FROM operations")
    assert timedelta(seconds=14) < left <= 3 * HTTP_TIMEOUT
    clock.advance(timedelta(hours=1))
    assert await second.run_once() == 0
    assert (await second.run_now(CREATE.id)).state is OperationState.SENT
    await end_lease(db)
    assert await second.run_once() == 1
    assert (await read(db, CREATE.id)).state is OperationState.SUCCEEDED
    release.set()
    await sending
    assert (len(provider.sent), len(provider.looked_up)) == (1, 1)
    assert await effects(db) == ["SUCCEEDED"]


@pytest.mark.requirement("S-16")
async def test_a_sender_that_stood_still_does_not_send(
    db: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    runs = runner(db, clock, provider)
    loop = asyncio.get_running_loop()
    time, marked = loop.time, Database.fetch

    async def mark_and_stand_still(self: Database, sql: str, *args: Any) -> Any:
        result = await marked(self, sql, *args)
        monkeypatch.setattr(loop, "time", lambda: time() + HTTP_TIMEOUT.total_seconds() + 1)
        return result

    monkeypatch.setattr(Database, "fetch", mark_and_stand_still)
    await runs.run_now(await planned(db))
    monkeypatch.undo()
    assert provider.sent == []
    operation = await read(db, CREATE.id)
    assert (operation.state, operation.in_doubt) == (OperationState.SENT, False)
    clock.advance(timedelta(minutes=1))
    assert await runs.run_once() == 1
    assert len(provider.sent) == 1


async def test_an_outcome_that_waits_for_a_lock_holds_up_no_other(
    db: Database, clock: ManualClock, settings: ServiceSettings
) -> None:
    provider, operations = Provider(), some(4)
    provider.answers_together(4)
    for operation in operations:
        await planned(db, operation)
    provider.locked = {operations[1].subject}
    async with open_database(settings.model_copy(update={"lock_timeout_ms": 100})) as impatient:
        runs = runner(impatient, clock, provider, http_timeout=timedelta(seconds=30))
        async with db.transaction() as rival:
            await rival.execute(LOCKED)
            running = asyncio.create_task(runs.run_once())
            await wait_until(lambda: _count(db, 3))
        assert await running == 4
    assert await effects(db) == ["SUCCEEDED"] * 4
    assert len(provider.sent) == 4
    assert provider.looked_up == []


async def _count(db: Database, wanted: int) -> bool:
    return len(await effects(db)) == wanted
