"""The audit as it is typed: what it could not look at is no law that holds, and errors are one line (R-6.4)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner, Result

from ops.audit import audit, run
from ops.audit.kafka import Topics, read_topics
from ops.audit.law import LAWS
from ops.audit.run import audit as look_until_clean
from ops.audit.run import look
from ops.audit.sources import DATABASES, WITNESSES, Places
from ops.local.databases import Access
from tests.component.consumers import records
from tests.component.consumers.records import produce, record

pytestmark = pytest.mark.requirement("R-6.4")
OPEN = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


def typed(*arguments: str) -> Result:
    """The command as it is typed."""
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, ["--patience", "0", *arguments])


@pytest.fixture
def inventory(database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of inventory's database, which is all that the environment has."""
    monkeypatch.setenv("ONEFOLD_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ONEFOLD_INVENTORY_DATABASE_URL", database("inventory").serving)
    return "inventory"


async def test_one_database_is_no_proof_of_anything_else(database: Callable[[str], Access]) -> None:
    verdict = await look_until_clean(Places({"inventory": database("inventory").serving}), patience_seconds=0)
    alone = [law.name for law in LAWS if set(law.witnesses) <= {"inventory"}]
    assert (list(verdict.breaches), verdict.laws) == ([], len(alone))
    assert "provider_and_ledger_agree (payments, stripe)" in verdict.unseen
    assert "keys_are_not_parked (orders, payments, fulfillment, emails)" in verdict.unseen
    assert not [line for line in verdict.unseen if line.split()[0] in alone]


def test_what_was_not_looked_at_ends_with_2(inventory: str) -> None:
    shown = typed()
    assert (shown.exit_code, "provider_and_ledger_agree (payments, stripe)" in shown.stdout) == (2, True), shown.output
    others = [f"--without={name}" for name in WITNESSES if name != inventory]
    excused = typed(*others)
    alone = [law.name for law in LAWS if set(law.witnesses) <= {inventory}]
    assert (excused.exit_code, excused.stdout) == (0, f"{len(alone)} laws hold over 0 events\n")
    assert "warehouse: none of orders" in typed("--without", "warehouse").output


def test_a_wrong_address_is_one_line(inventory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFOLD_INVENTORY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    shown = typed()
    assert (shown.exit_code, shown.output.count("\n")) == (2, 1), shown.output
    assert "onefold: cannot be reached" in shown.output


def test_nothing_to_look_at_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONEFOLD_STATE_DIR", str(tmp_path))
    for name in DATABASES:
        monkeypatch.delenv(f"ONEFOLD_{name.upper()}_DATABASE_URL", raising=False)
    assert typed().exit_code == 2


async def test_a_window_leaves_out_what_is_older(
    database: Callable[[str], Access], kafka_bootstrap: str, topic_prefix: str
) -> None:
    await produce(kafka_bootstrap, topic_prefix, [record(records.created(f"o{at}"), key=f"o{at}") for at in range(20)])
    places = Places({"inventory": database("inventory").serving}, kafka=kafka_bootstrap, topic_prefix=topic_prefix)

    async def events(window: timedelta | None) -> int:
        _, sources = await look(places, window=window)
        return sum(map(len, sources.topics.events.values()))

    assert [await events(each) for each in (None, timedelta(hours=1), timedelta(microseconds=1))] == [20, 20, 0]


async def test_no_transaction_is_open_while_kafka_is_read(
    database: Callable[[str], Access], kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = database("inventory").serving
    open_ones: list[int] = []

    async def counted(*arguments: Any) -> Topics:
        connection = await asyncpg.connect(address)
        open_ones.append(await connection.fetchval(OPEN))
        await connection.close()
        return await read_topics(*arguments)

    monkeypatch.setattr(run, "read_topics", counted)
    await look(Places({"inventory": address}, kafka=kafka_bootstrap, topic_prefix=topic_prefix))
    assert open_ones == [0]
