import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.clock import ManualClock
from services.chassis.db import Database, Transaction
from services.chassis.errors import NotFound
from services.chassis.incidents import list_open
from services.chassis.operations import (
    ABSENT,
    UNRESOLVED,
    UNSETTLED,
    WITHDRAWN,
    BackOff,
    Declined,
    Operation,
    OperationRunner,
    OperationState,
    PlannedOperation,
    Retryable,
    Unknown,
    encode_parameters,
    get_operation,
    list_operations,
    operation_id,
    plan,
    withdraw,
)
from services.chassis.testing import wait_until
from tests.component.chassis.messaging import NOW, AnswerLost

pytestmark = [pytest.mark.requirement("S-15"), pytest.mark.requirement("R-1.4")]

HTTP_TIMEOUT = timedelta(seconds=5)
ORDER = "0190aaaa-0000-7000-8000-000000000001"
PARAMETERS = {"amount": 1050, "currency": "gbp", "metadata": {"order_id": ORDER}}
CREATE = PlannedOperation("create", ORDER, 1, "stripe", encode_parameters(PARAMETERS), NOW)

Script = Callable[[Operation], Any]


class Provider:
    """A provider with a ledger of what it executed, by idempotency key, and a script of what it answers."""

    def __init__(self, *script: Exception | Script) -> None:
        self.script = list(script)
        self.sent: list[Operation] = []
        self.looked_up: list[Operation] = []
        self.executed: dict[str, dict[str, Any]] = {}
        self.settled: list[Operation] = []
        self.settle_errors: list[Exception] = []
        self.plans_next = False

    async def send(self, operation: Operation) -> dict[str, Any]:
        self.sent.append(operation)
        step = self.script.pop(0) if self.script else self.execute
        if isinstance(step, Exception):
            raise step
        answer = step(operation)
        return dict(await answer if asyncio.iscoroutine(answer) else answer)

    def execute(self, operation: Operation) -> dict[str, Any]:
        """What a provider with idempotency keys does: the first call counts, a repeated one is replayed."""
        return self.executed.setdefault(operation.idempotency_key, {"id": f"pi_{len(self.executed) + 1}"})

    def execute_and_lose_the_answer(self, operation: Operation) -> dict[str, Any]:
        self.execute(operation)
        raise Unknown("read time-out")

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        self.looked_up.append(operation)
        return self.executed.get(operation.idempotency_key)

    async def settle(self, tx: Transaction, operation: Operation) -> None:
        await tx.execute("INSERT INTO effects (event_id, key) VALUES ($1, $2)", operation.id, operation.state.value)
        if self.settle_errors:
            raise self.settle_errors.pop()
        self.settled.append(operation)
        if self.plans_next and operation.absent:
            await plan(tx, [PlannedOperation("create", ORDER, operation.number + 1, "stripe", operation.request, NOW)])


def runner(db: Database, clock: ManualClock, provider: Provider, **options: Any) -> OperationRunner:
    return OperationRunner(
        db, http_timeout=options.pop("http_timeout", HTTP_TIMEOUT), clock=clock, calls={"create": provider}, **options
    )


async def planned(db: Database, operation: PlannedOperation = CREATE) -> str:
    async with db.transaction() as tx:
        await plan(tx, [operation])
    return operation.id


async def read(db: Database, operation_id: str) -> Operation:
    operation = await get_operation(db, operation_id)
    assert operation is not None
    return operation


async def end_lease(db: Database) -> None:
    """What waiting would do."""
    await db.fetch(
        "UPDATE operations SET lease_until = clock_timestamp() - interval '1 ms' WHERE lease_until IS NOT NULL"
    )


async def effects(db: Database) -> list[str]:
    return [row["key"] for row in await db.fetch("SELECT key FROM effects ORDER BY place")]


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
    time, marked = loop.time, Database.run

    async def run_and_stand_still(self: Database, body: Any) -> Any:
        result = await marked(self, body)
        monkeypatch.setattr(loop, "time", lambda: time() + HTTP_TIMEOUT.total_seconds() + 1)
        return result

    monkeypatch.setattr(Database, "run", run_and_stand_still)
    await runs.run_now(await planned(db))
    monkeypatch.undo()
    assert provider.sent == []
    operation = await read(db, CREATE.id)
    assert (operation.state, operation.in_doubt) == (OperationState.SENT, False)
    clock.advance(timedelta(minutes=1))
    assert await runs.run_once() == 1
    assert len(provider.sent) == 1


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


async def test_only_what_was_never_sent_can_be_withdrawn(db: Database, clock: ManualClock) -> None:
    provider = Provider(Retryable("429"))
    await planned(db)
    await runner(db, clock, provider).run_now(CREATE.id)
    fresh = await planned(db, PlannedOperation("create", ORDER, 2, "stripe", b"{}", NOW))
    async with db.transaction() as tx:
        assert await withdraw(tx, [CREATE.id, fresh], now=clock.now()) == {fresh}
    assert (await read(db, fresh)).error_code == WITHDRAWN
    assert (await runner(db, clock, provider).run_now(fresh)).state is OperationState.FAILED
    assert len(provider.sent) == 1


async def test_an_unknown_id_is_not_found(db: Database, clock: ManualClock) -> None:
    with pytest.raises(NotFound):
        await runner(db, clock, Provider()).run_now(CREATE.id)


def test_pauses_double_up_to_the_longest() -> None:
    back_off = BackOff(first=timedelta(seconds=1), longest=timedelta(seconds=10))
    assert [back_off.pause(tries).total_seconds() for tries in (0, 1, 2, 3, 4, 5, 99)] == [1, 1, 2, 4, 8, 10, 10]
