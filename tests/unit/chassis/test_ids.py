import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.ids import InvalidOrderNumber, display_number, new_id, new_order_number, parse_number


def test_ids_are_version_7_and_grow() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert {(uuid.UUID(text).version, uuid.UUID(text).variant) for text in ids} == {(7, uuid.RFC_4122)}


def test_ids_grow_when_the_machine_s_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    monkeypatch.setattr("services.chassis.ids.time.time_ns", lambda: 1_000_000_000)
    assert before < new_id() < new_id()


def test_numbers_are_ten_characters_without_look_alikes() -> None:
    numbers = {new_order_number() for _ in range(1_000)}
    assert len(numbers) == 1_000
    assert {len(number) for number in numbers} == {10}
    assert not set("".join(numbers)) & set("ILOU")


@given(st.text(alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=10, max_size=10))
def test_a_number_is_read_back_as_it_is_shown(number: str) -> None:
    assert parse_number(display_number(number)) == number
    assert parse_number(f" {display_number(number).lower()} ") == number


def test_look_alikes_mean_the_digit() -> None:
    assert parse_number("7k3m-9iqlto") == "7K3M91Q1T0"


@pytest.mark.parametrize("text", ["", "7K3M-92QXT", "7K3M-92QXTFF", "7K3M-92QXTU", "7K3M_92QXTF"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidOrderNumber):
        parse_number(text)
