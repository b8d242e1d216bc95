"""The same states in the domain, in the messages and in the tables."""

import re
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from onefold.payments.v1 import payments_events_pb2, payments_pb2

import services.payments
from services.payments import domain
from services.payments.store.rows import READERS

MIGRATIONS = Path(services.payments.__file__).parent / "migrations"
SCHEMA = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))


@pytest.mark.requirement("R-1.8")
@pytest.mark.parametrize(
    ("states", "message", "prefix"),
    [
        (domain.Verdict, payments_pb2.Verdict, "VERDICT_"),
        (domain.AttemptState, payments_pb2.AttemptState, "ATTEMPT_STATE_"),
        (domain.DisputeState, payments_pb2.DisputeState, "DISPUTE_STATE_"),
        (domain.Flow, payments_pb2.Flow, "FLOW_"),
    ],
)
def test_the_messages_know_the_same_states(states: type[StrEnum], message: Any, prefix: str) -> None:
    assert {f"{prefix}{state}" for state in states} == set(message.keys()) - {f"{prefix}UNSPECIFIED"}


@pytest.mark.requirement("R-1.17", "R-1.8")
@pytest.mark.parametrize(
    ("states", "check"),
    [
        (domain.AttemptState, r"CHECK \(state IN\s*\('CREATING'[^)]*"),
        (domain.Flow, r"CHECK \(flow IN [^)]*"),
        (domain.End, r"CHECK \(ended_by IN [^)]*"),
        (domain.RefundState, r"CHECK \(state IN \('PENDING'[^)]*"),
        (domain.Entry, r"CHECK \(\(fact, debit, credit\) IN \((?:\s*\('\w+', '\w+', '\w+'\),?)+"),
    ],
)
def test_the_tables_know_the_same_states(states: type[StrEnum], check: str) -> None:
    found = re.search(check, SCHEMA)
    assert found is not None
    words = re.findall(r"'(\w*)'", found[0])
    if states is domain.Entry:
        words = words[::3]
    assert set(words) == {state.value for state in states}


@pytest.mark.requirement("S-14")
def test_the_live_index_leaves_out_what_has_ended() -> None:
    ended = {
        state for state in domain.AttemptState if domain.RANKS[state] > domain.RANKS[domain.AttemptState.AUTHORIZED]
    }
    assert {s.value for s in ended} == {"SUCCEEDED", "CANCELED"}
    assert "WHERE state NOT IN ('SUCCEEDED', 'CANCELED') AND NOT orphan" in SCHEMA


@pytest.mark.requirement("R-5.3")
def test_every_event_has_a_message_with_its_fields() -> None:
    for event in domain.Event.__args__:
        message = getattr(payments_events_pb2, event.__name__)
        told = {field.name for field in fields(event)} | {"context", "snapshot"}
        assert told == set(message.DESCRIPTOR.fields_by_name), event


def test_every_part_of_a_payable_can_be_read() -> None:
    lists = {field.name for field in fields(domain.Payable) if "tuple" in str(field.type)}
    assert lists == set(READERS)
