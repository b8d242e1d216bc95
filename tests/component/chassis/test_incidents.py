import asyncio
from datetime import timedelta

import asyncpg
import pytest

from services.chassis.db import Database, Transaction
from services.chassis.incidents import (
    Incident,
    IncidentState,
    list_open,
    match,
    open_incidents,
    resolve,
    resolve_about,
)
from tests.component.chassis.messaging import NOW

pytestmark = pytest.mark.requirement("R-1.13")


def incident(subject: str = "pi_1", kind: str = "ORDER_NOT_FOUND", **changes: object) -> Incident:
    return Incident(kind=kind, subject=subject, opened_at=NOW, order_id="order-1", details={"amount": 5}, **changes)  # type: ignore[arg-type]


async def opened(db: Database, *incidents: Incident) -> list[Incident]:
    return await db.run(lambda tx: open_incidents(tx, incidents))


async def test_an_incident_is_open_once_per_kind_and_subject(db: Database) -> None:
    first, other = incident("pi_2"), incident("pi_1")
    assert await opened(db, first, incident("pi_2"), other) == [first, other]
    assert await opened(db, incident("pi_1"), incident("pi_1", "REFUND_FAILED")) != []
    assert await opened(db, incident("pi_1")) == []
    assert await opened(db) == []
    assert len(await list_open(db)) == 3


async def test_of_two_rivals_one_opens_it(db: Database) -> None:
    subjects = [f"pi_{number}" for number in range(200)]
    both = await asyncio.gather(opened(db, *map(incident, subjects)), opened(db, *map(incident, reversed(subjects))))
    assert sorted(len(one) for one in both) == [0, 200]


async def test_what_was_missing_arrives_and_matches(db: Database) -> None:
    await opened(db, incident("pi_1"), incident("pi_2"), incident("pi_1", "OTHER"))
    (matched,) = await db.run(lambda tx: match(tx, "ORDER_NOT_FOUND", ["pi_1", "pi_9"], now=NOW + timedelta(hours=1)))
    assert (matched.subject, matched.state) == ("pi_1", IncidentState.MATCHED)
    assert matched.closed_at == NOW + timedelta(hours=1)
    assert await db.run(lambda tx: match(tx, "ORDER_NOT_FOUND", ["pi_1"], now=NOW)) == []
    again = incident("pi_1")
    assert await opened(db, again) == [again]


async def test_a_person_resolves_it_once(db: Database) -> None:
    (one,) = await opened(db, incident())
    resolved = await db.run(lambda tx: resolve(tx, one.id, "refunded by hand", "ada"))
    assert resolved is not None
    assert (resolved.state, resolved.closed_by, resolved.resolution) == (
        IncidentState.RESOLVED,
        "ada",
        "refunded by hand",
    )
    assert resolved.details == {"amount": 5}
    assert await db.run(lambda tx: resolve(tx, one.id, "again", "bob")) is None
    with pytest.raises(asyncpg.CheckViolationError):
        await db.run(_resolve_without_a_word)


async def _resolve_without_a_word(tx: Transaction) -> None:
    (one,) = await open_incidents(tx, [incident("pi_3")])
    await resolve(tx, one.id, "", "ada")


async def test_it_can_be_resolved_by_what_it_is_about(db: Database) -> None:
    await opened(db, incident())
    await db.run(lambda tx: resolve_about(tx, "ORDER_NOT_FOUND", "pi_1", "found", "ada"))
    assert await list_open(db) == []


async def test_open_ones_are_listed_in_pages_from_the_oldest(db: Database) -> None:
    made = [
        Incident(kind=kind, subject=str(age), opened_at=NOW - timedelta(days=age), order_id=f"order-{age % 2}")
        for age, kind in enumerate(["A", "B", "A", "B", "A"])
    ]
    await opened(db, *made)
    first = await list_open(db, limit=2)
    rest = await list_open(db, after=first[-1].id)
    assert [one.subject for one in first + rest] == ["4", "3", "2", "1", "0"]
    assert [one.subject for one in await list_open(db, kind="B")] == ["3", "1"]
    assert [one.subject for one in await list_open(db, order_id="order-0", kind="A")] == ["4", "2", "0"]
