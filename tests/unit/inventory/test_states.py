"""The states of a hold: one list in the domain, the protocol and the schema; each command in each state is named."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.descriptor import EnumDescriptor
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2

from services.inventory import domain
from services.inventory.domain import (
    TRANSITIONS,
    AttachHold,
    Cart,
    Command,
    CommitStock,
    HoldState,
    LapseHold,
    LineQuantity,
    MovementKind,
    OrderStock,
    Outcome,
    PricedLine,
    Refused,
    RefusedReason,
    ReleaseStock,
    ReserveStock,
    ReturnStock,
    ShipStock,
    StockRow,
    UndoReservation,
    handle,
    stock_of,
)
from services.inventory.domain.holds import LIVE, Hold, IllegalTransition

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
UNITS = (LineQuantity(1, "MUG", 4),)
FULL = stock_of([StockRow("MUG", "london", on_hand=10)])
EMPTY = stock_of([StockRow("MUG", "london", on_hand=10, reserved=10)])

RESERVE = ReserveStock("o", 1, Cart((PricedLine(1, "MUG", 4),)), LATER)
NEXT = ReserveStock("o", 2, Cart((PricedLine(1, "MUG", 4),)), LATER)
UNDO = UndoReservation("o", 1)
LAPSE = LapseHold("o", LATER)
ATTACH = AttachHold("o", 1, UNITS)
COMMIT = CommitStock("o", "commit", 1, UNITS)
AGAIN = CommitStock("o", "commit-2", 2, UNITS)
RELEASE = ReleaseStock("o", "release", 1)
SHIP = ShipStock("o", "ship", "p1", UNITS)
RETURN = ReturnStock("o", "return", "r1", UNITS)

WAYS: dict[str, tuple[Command, ...]] = {
    "nothing": (),
    "undone": (UNDO,),
    "tentative": (RESERVE,),
    "lapsed": (RESERVE, LAPSE),
    "attached": (RESERVE, ATTACH),
    "committed": (RESERVE, ATTACH, COMMIT),
    "released": (RESERVE, ATTACH, RELEASE),
    "shipped": (RESERVE, ATTACH, COMMIT, SHIP),
}
A, S, C = Outcome.APPLIED, Outcome.STALE, Outcome.CONTRADICTION
COMMANDS: dict[str, Command] = {
    "reserve": RESERVE,
    "next": NEXT,
    "undo": UNDO,
    "lapse": LAPSE,
    "attach": ATTACH,
    "commit": COMMIT,
    "again": AGAIN,
    "release": RELEASE,
    "ship": SHIP,
    "return": RETURN,
}
# One row per state, one column per command, in the order of COMMANDS (S-31).
OUTCOMES: dict[str, tuple[Outcome, ...]] = {
    "nothing": (A, A, A, S, A, A, A, A, C, C),
    "undone": (S, A, S, S, A, A, A, A, C, C),
    "tentative": (S, A, A, A, A, A, A, A, C, C),
    "lapsed": (S, A, S, S, A, A, A, A, C, C),
    "attached": (S, S, S, S, S, A, A, A, C, C),
    "committed": (S, S, S, S, S, S, A, A, A, C),
    "released": (S, S, S, S, S, C, A, S, C, C),
    "shipped": (S, S, S, S, S, S, C, A, S, A),
}


def reached(way: tuple[Command, ...]) -> domain.Decision:
    decision = domain.Decision(OrderStock("o"), FULL)
    for command in way:
        decision = handle(decision.order, decision.stock, command)
        assert decision.outcome is Outcome.APPLIED
    return decision


@pytest.mark.requirement("S-31", "S-25")
@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_in_each_state_has_its_outcome(state: str, name: str) -> None:
    start = reached(WAYS[state])
    decision = handle(start.order, start.stock, COMMANDS[name])
    assert decision.outcome is OUTCOMES[state][list(COMMANDS).index(name)]
    if decision.outcome is Outcome.STALE:
        assert (decision.order, decision.stock) == (start.order, start.stock)
        assert not decision.events
        assert not decision.movements


@pytest.mark.requirement("S-2", "S-19")
@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("command", [COMMIT, AGAIN, RELEASE, SHIP, RETURN], ids=lambda command: command.request_id)
def test_each_request_is_answered_once_by_its_id(state: str, command: domain.CommitStock) -> None:
    start = reached(WAYS[state])
    if command.request_id in start.order.answered:
        return
    decision = handle(start.order, start.stock, command)
    answers = [event for event in decision.events if getattr(event, "request_id", "")]
    assert [getattr(answer, "request_id", "") for answer in answers] == [command.request_id]
    repeated = handle(decision.order, decision.stock, command)
    assert (repeated.outcome, repeated.events, repeated.order) == (Outcome.STALE, (), decision.order)


@pytest.mark.requirement("S-6", "S-7")
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("undone", RefusedReason.RESERVATION_UNDONE),
        ("lapsed", RefusedReason.RESERVATION_UNDONE),
        ("released", RefusedReason.RESERVATION_UNDONE),
    ],
)
def test_a_number_is_used_once(state: str, reason: RefusedReason) -> None:
    start = reached(WAYS[state])
    assert handle(start.order, start.stock, RESERVE).answer == Refused(reason)


@pytest.mark.requirement("S-6")
@pytest.mark.parametrize("state", ["attached", "committed", "released", "shipped"])
def test_an_order_that_was_placed_takes_no_reservation(state: str) -> None:
    start = reached(WAYS[state])
    assert handle(start.order, start.stock, NEXT).answer == Refused(RefusedReason.ORDER_PLACED)


@pytest.mark.requirement("S-6")
def test_a_higher_number_replaces_a_hold_whose_undo_got_lost() -> None:
    start = reached(WAYS["tentative"])
    decision = handle(start.order, start.stock, NEXT)
    assert [hold.state for hold in decision.order.holds] == [HoldState.RELEASED, HoldState.TENTATIVE]
    assert decision.stock["MUG"]["london"].reserved == 4
    assert handle(decision.order, decision.stock, RESERVE).answer == Refused(RefusedReason.RESERVATION_UNDONE)


@pytest.mark.requirement("S-7")
@pytest.mark.parametrize("command", [ATTACH, COMMIT])
def test_without_a_hold_and_without_stock(command: Command) -> None:
    decision = handle(OrderStock("o"), EMPTY, command)
    (lost,) = decision.events
    assert isinstance(lost, domain.StockUnavailable)
    assert lost.request_id == getattr(command, "request_id", "")
    assert lost.shortages == (domain.Shortage("MUG", 0, 4),)
    assert decision.stock == EMPTY
    assert decision.order.live is None


def mentioned(pattern: str, table: str) -> set[str]:
    folder = Path(domain.__file__).parents[1] / "migrations"
    schema = "".join(file.read_text() for file in sorted(folder.glob("*.sql")))
    found = re.search(rf"CREATE TABLE {table} .*?{pattern} IN\s*\(([^)]*)\)", schema, re.DOTALL)
    assert found
    return set(re.findall(r"'(\w+)'", found[1]))


def named(values: EnumDescriptor, prefix: str) -> set[str]:
    return {value.name.removeprefix(prefix) for value in values.values} - {"UNSPECIFIED"}


@pytest.mark.requirement("S-31")
def test_states_are_the_same_in_the_domain_the_protocol_and_the_schema() -> None:
    states = {str(state) for state in HoldState}
    assert {str(state) for state in TRANSITIONS if state} == states
    assert named(inventory_pb2.HoldState.DESCRIPTOR, "HOLD_STATE_") == states
    assert mentioned("state", "holds") == states
    assert mentioned("kind", "stock_ledger") == {str(kind) for kind in MovementKind}
    assert named(common_pb2.CartProblem.Kind.DESCRIPTOR, "KIND_") == {str(kind) for kind in domain.ProblemKind}


@pytest.mark.requirement("S-31")
@pytest.mark.parametrize("state", HoldState)
def test_ended_holds_stay_ended(state: HoldState) -> None:
    assert (state in LIVE) is bool(TRANSITIONS[state])
    step: Callable[[HoldState], Hold] = Hold(1, state).to
    for other in HoldState:
        if other in TRANSITIONS[state]:
            assert step(other).state is other
        else:
            with pytest.raises(IllegalTransition):
                step(other)
