"""Operators' commands on databases of their own: parked keys, incidents, webhooks that failed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from onefold.orders.v1 import orders_events_pb2
from typer.testing import CliRunner, Result

from ops import incidents, mails, parked, replay
from ops.local.databases import Access
from services.chassis.testing import TOKEN
from tests.component.ops.books import LONG_AGO, ORDER, Books, name

TOPIC = "onefold.orders.v1"
PLACE = ["inventory", TOPIC, ORDER]


@pytest.fixture
def inventory(database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of inventory's database, which is all that an operator's environment has."""
    access = database("inventory")
    monkeypatch.setenv("ONEFOLD_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ONEFOLD_PROFILE", "test")
    monkeypatch.setenv("ONEFOLD_INVENTORY_DATABASE_URL", access.serving)
    return access.serving


def write(address: str, table: str, **values: Any) -> None:
    """One row."""

    async def put() -> None:
        connection = await asyncpg.connect(address)
        await Books({"inventory": connection}).put("inventory", table, **values)
        await connection.close()

    asyncio.run(put())


def read(address: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(address)
        rows = await connection.fetch(sql)
        await connection.close()
        return [tuple(row) for row in rows]

    return asyncio.run(fetch())


def park(address: str, payload: bytes, *, event_id: str | None = name("event")) -> None:
    """An event of ORDER that waits because it could not be applied, and its incident."""
    key = {"consumer": "inventory", "topic": TOPIC, "key": ORDER, "parked_at": LONG_AGO, "reason": "it was bad"}
    event = {"event_id": event_id, "source": "test", "event_time": LONG_AGO, "traceparent": "", "kafka_offset": 7}
    kind = orders_events_pb2.OrderCreated.DESCRIPTOR.full_name
    write(address, "parked_keys", **key)
    write(address, "parked_events", **key, **event, type=kind, payload=f"\\x{payload.hex()}", kafka_partition=3)
    incident = {"kind": "key_parked", "subject": f"inventory/{TOPIC}/{ORDER}", "order_id": ORDER, "details": {}}
    write(address, "incidents", id=name("incident"), **incident, state="OPEN", opened_at=LONG_AGO)


def typed(app: Any, *arguments: str) -> Result:
    """A command as it is typed."""
    return CliRunner().invoke(app, arguments)


@pytest.mark.requirement("R-5.6", "S-27")
def test_a_parked_key_is_shown_tried_and_let_go(inventory: str) -> None:
    event = orders_events_pb2.OrderConfirmed()  # read as OrderCreated: the same context, and nothing else
    event.context.order_id, event.context.version = ORDER, 1
    park(inventory, event.SerializeToString())
    listed = typed(parked.app, "list").stdout
    assert f"inventory {TOPIC} {ORDER}  1 waiting" in listed
    assert "it was bad" in listed
    assert "3/7  onefold.orders.v1.OrderCreated" in typed(parked.app, "inspect", *PLACE).stdout
    tried = typed(parked.app, "redrive", *PLACE, "--dry-run")
    assert (tried.exit_code, "1 events would be applied" in tried.stdout) == (0, True), tried.output
    assert ORDER in typed(parked.app, "list").stdout
    assert typed(parked.app, "redrive", *PLACE).exit_code == 0
    assert typed(parked.app, "list", "inventory").stdout == "nothing is parked\n"
    assert typed(incidents.app, "list", "inventory").stdout == "no open incidents\n"
    assert typed(parked.app, "redrive", *PLACE).exit_code == 1


@pytest.mark.requirement("R-5.6", "S-27")
def test_a_redrive_that_fails_changes_nothing(inventory: str) -> None:
    park(inventory, b"\xff\xff")
    failed = typed(parked.app, "redrive", *PLACE)
    assert (failed.exit_code, "nothing was changed" in failed.stdout) == (1, True), failed.output
    assert ORDER in typed(parked.app, "list").stdout


def test_an_incident_is_closed_by_a_person_who_says_why(inventory: str) -> None:
    park(inventory, b"")
    listed = typed(incidents.app, "list", "inventory").stdout
    assert name("incident") in listed
    assert "key_parked" in listed
    resolve = ["resolve", name("incident"), "--resolution", "looked at it", "--actor", "ann"]
    assert typed(incidents.app, *resolve).stdout == f"{name('incident')} of inventory is resolved\n"
    again = typed(incidents.app, *resolve)
    assert (again.exit_code, "not looked at: orders, payments" in again.output) == (2, True)
    assert typed(incidents.app, "list", "inventory").stdout == "no open incidents\n"


def test_a_mistyped_consumer_is_told_the_names(inventory: str) -> None:
    result = typed(parked.app, "list", "warehouse")
    assert "warehouse is none of orders, inventory, payments, fulfillment, emails" in result.output
    assert result.exit_code == 2


@pytest.mark.parametrize("app", [parked.app, incidents.app])
def test_nobody_is_told_that_all_is_well_where_nobody_looked(
    app: typer.Typer, inventory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partly = typed(app, "list")
    assert (partly.exit_code, "not looked at: orders, payments, fulfillment, emails" in partly.output) == (2, True)
    monkeypatch.delenv("ONEFOLD_INVENTORY_DATABASE_URL")
    nothing = typed(app, "list")
    assert nothing.exit_code == 2
    assert "no stack is running here" in nothing.output
    assert typed(app, "list", "inventory").exit_code == 2


def test_errors_on_call_are_one_line(inventory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFOLD_EMAILS_DATABASE_URL", inventory)
    no_id = ["resolve", "abc", "--resolution", "looked at it", "--actor", "ann"]
    wrong = [typed(incidents.app, *no_id), typed(mails.app, "list")]  # there is no table of mails
    monkeypatch.setenv("ONEFOLD_EMAILS_DATABASE_URL", inventory.replace(":test@", ":wrong@"))
    wrong.append(typed(mails.app, "list"))
    monkeypatch.setenv("ONEFOLD_EMAILS_DATABASE_URL", "")
    wrong.append(typed(mails.app, "list"))
    for result in wrong:
        assert (result.exit_code, result.output.startswith("onefold: ")) == (2, True), result.output


@pytest.mark.requirement("R-5.6", "S-27")
def test_an_event_that_nobody_can_read_is_discarded_by_a_person(inventory: str) -> None:
    park(inventory, b"\xff\xff", event_id=None)
    assert "UnreadableEvent" in typed(parked.app, "redrive", *PLACE).stdout
    assert typed(parked.app, "discard", *PLACE, "3-7", "--reason", "broken").exit_code == 2
    assert typed(parked.app, "discard", *PLACE, "3/8", "--reason", "broken").exit_code == 1
    done = typed(parked.app, "discard", *PLACE, "3/7", "--reason", "broken", "--actor", "ann")
    assert (done.exit_code, done.stdout) == (0, "discarded\n"), done.output
    assert typed(parked.app, "redrive", *PLACE).exit_code == 0
    assert typed(parked.app, "list", "inventory").stdout == "nothing is parked\n"
    sql = "SELECT subject, resolution, closed_by FROM incidents WHERE kind = 'event_discarded'"
    assert read(inventory, sql) == [(f"inventory/{TOPIC}/{ORDER}/3/7", "broken", "ann")]


def test_the_end_of_an_incident_that_was_announced_is_announced(
    inventory: str, database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = database("payments").serving
    monkeypatch.setenv("ONEFOLD_PAYMENTS_DATABASE_URL", address)
    for number, announced in enumerate((True, False)):
        incident = {"kind": "unmatched_event", "subject": f"pi_{number}", "order_id": ORDER, "details": {}}
        write(address, "incidents", id=name(f"pi_{number}"), **incident, state="OPEN", opened_at=LONG_AGO)
        if announced:
            write(address, "raised_incidents", incident_id=name(f"pi_{number}"), raised_at=LONG_AGO)
        resolve = ["resolve", name(f"pi_{number}"), "--resolution", "looked at it", "--actor", "ann"]
        assert typed(incidents.app, *resolve).exit_code == 0
    assert read(address, "SELECT type, aggregateid FROM outbox") == [("onefold.payments.v1.IncidentResolved", ORDER)]


@pytest.mark.requirement("R-5.4")
def test_after_an_outage_all_mails_that_were_given_up_are_planned_by_one_command(
    database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = database("emails").serving
    monkeypatch.setenv("ONEFOLD_EMAILS_DATABASE_URL", address)
    times = dict.fromkeys(("occurred_at", "next_try_at", "settled_at"), LONG_AGO)
    for number, state in enumerate(("PARKED", "PARKED", "SENT")):
        mail = {"kind": "order_shipped", "subject": ORDER, "state": state, "tries": 2, "details": {}, "last_error": ""}
        write(address, "mails", event_id=name(f"mail {number}"), **mail, **times)
    assert typed(mails.app, "list").stdout.count("order_shipped") == 2
    assert typed(mails.app, "resend").exit_code == 2
    assert typed(mails.app, "resend", name("mail 2")).exit_code == 1
    assert typed(mails.app, "resend", "--all").stdout == "2 planned\n"
    assert typed(mails.app, "list").stdout == "none\n"


def test_more_than_is_shown_is_said(inventory: str) -> None:
    for number in range(3):
        incident = {"kind": "odd", "subject": f"s{number}", "order_id": "", "details": {}}
        write(inventory, "incidents", id=name(f"s{number}"), **incident, state="OPEN", opened_at=LONG_AGO)
    shown = typed(incidents.app, "list", "inventory", "--limit", "2")
    assert (shown.stdout.count("odd"), "there are more" in shown.output) == (2, True)
    assert "there are more" not in typed(incidents.app, "list", "inventory", "--limit", "3").output


def test_a_replay_sends_no_more_than_a_call_can_carry() -> None:
    sizes = [10, replay.BYTES_AT_ONCE, 10, *[1] * replay.AT_ONCE]
    told = [len(part) for part in replay.parts([{"raw": b"x" * size} for size in sizes])]
    assert told == [1, 1, replay.AT_ONCE, 1]


@pytest.mark.requirement("R-1.3")
def test_failed_webhooks_are_shown_before_they_are_taken_in_again(
    inventory: str, database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = database("payments").serving
    monkeypatch.setenv("ONEFOLD_PAYMENTS_DATABASE_URL", address)
    monkeypatch.setenv("ONEFOLD_PAYMENTS_TOKEN", TOKEN)
    webhook = {"source": "stripe", "event_id": "evt_1", "type": "charge.refunded", "raw": "\\x7b7d", "error": "no luck"}
    write(address, "webhook_events", **webhook, received_at=LONG_AGO, outcome="failed")
    app = typer.Typer()
    app.command()(replay.replay)
    shown = typed(app, "--dry-run")
    assert (shown.exit_code, "evt_1  charge.refunded  no luck" in shown.stdout) == (0, True), shown.output
    unknown = typed(app, "--dry-run", "evt_1", "evt_2")
    assert (unknown.exit_code, "evt_2 is not stored" in unknown.output) == (1, True), unknown.output
    assert "1 unknown, 1 stored" in unknown.output
    unreachable = typed(app, "evt_1")
    assert "ONEFOLD_OPERATOR_PAYMENTS_TARGET is not set" in unreachable.output
    assert typed(app, "--limit", "-1").exit_code == 2
