"""Items that are worked on together, and alone where one of them fails the others."""

from collections.abc import Sequence

import pytest

from services.chassis.together import together


class Desk:
    """Takes items in, but never `bad` ones; what it could not take lies beside it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.groups: list[list[str]] = []
        self.beside: list[str] = []

    async def take_in(self, items: Sequence[str]) -> int:
        """How many."""
        self.groups.append(list(items))
        if "bad" in items:
            raise self.error
        return len(items)

    async def put_beside(self, item: str, error: Exception) -> int:
        """None was taken in."""
        assert error is self.error
        self.beside.append(item)
        return 0


@pytest.mark.requirement("R-5.6")
async def test_a_bad_item_is_shown_and_costs_no_other() -> None:
    desk = Desk(ValueError("bad"))
    assert await together(["a", "bad", "b"], desk.take_in, desk.put_beside) == [1, 0, 1]
    assert desk.groups == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert desk.beside == ["bad"]


async def test_good_items_are_one_group_and_none_are_no_group() -> None:
    desk = Desk(ValueError("bad"))
    assert await together(["a", "b"], desk.take_in, desk.put_beside) == [2]
    assert await together([], desk.take_in, desk.put_beside) == []
    assert desk.groups == [["a", "b"]]


@pytest.mark.requirement("S-26")
async def test_broken_plumbing_says_nothing_about_an_item() -> None:
    desk = Desk(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await together(["a", "bad"], desk.take_in, desk.put_beside)
    assert desk.groups == [["a", "bad"]]
    assert desk.beside == []
