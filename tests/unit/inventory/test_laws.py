"""Any order of any commands keeps the laws of S-19: units are neither made nor lost."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory.domain import (
    TRANSITIONS,
    AttachHold,
    Cart,
    Command,
    CommitStock,
    Decision,
    LapseHold,
    LineQuantity,
    Movement,
    OrderStock,
    PricedLine,
    ReleaseStock,
    ReserveStock,
    ReturnStock,
    ShipStock,
    Stock,
    StockLow,
    StockRow,
    UndoReservation,
    handle,
    skus_needed,
    stock_of,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
START = stock_of(
    [
        StockRow("MUG", "cape", on_hand=3),
        StockRow("MUG", "london", on_hand=7),
        StockRow("CAP", "london", on_hand=5, threshold=3),
    ]
)
ORDERS = ("o1", "o2", "o3")

units = st.sampled_from(
    [
        (LineQuantity(1, "MUG", 3),),
        (LineQuantity(1, "MUG", 3), LineQuantity(2, "CAP", 2)),
        (LineQuantity(1, "MUG", 1), LineQuantity(2, "CAP", 1), LineQuantity(3, "MUG", 2)),
        (LineQuantity(2, "CAP", 1),),
    ]
)
order = st.sampled_from(ORDERS)
number = st.integers(1, 3)
request = st.sampled_from([f"request-{index}" for index in range(12)])
cart = units.map(lambda lines: Cart(tuple(PricedLine(line.line, line.sku, line.quantity) for line in lines)))
command: st.SearchStrategy[Command] = st.one_of(
    st.builds(ReserveStock, order, number, cart, st.integers(1, 9).map(lambda m: NOW + timedelta(minutes=m))),
    st.builds(UndoReservation, order, number),
    st.builds(LapseHold, order, st.integers(0, 10).map(lambda m: NOW + timedelta(minutes=m))),
    st.builds(AttachHold, order, number, units),
    st.builds(CommitStock, order, request, st.integers(1, 3), units),
    st.builds(ReleaseStock, order, request, st.integers(1, 3), st.one_of(st.just(()), units)),
    st.builds(ShipStock, order, request, st.just("p"), units),
    st.builds(ReturnStock, order, request, st.just("r"), units),
)


@pytest.mark.requirement("S-19", "R-3.1", "R-3.3", "R-3.6")
@settings(max_examples=150, deadline=None)
@given(st.lists(command, max_size=25))
def test_units_are_neither_made_nor_lost(commands: list[Command]) -> None:
    orders = {order_id: OrderStock(order_id) for order_id in ORDERS}
    stock: Stock = START
    ledger: list[Movement] = []
    answered: Counter[tuple[str, str]] = Counter()
    for asked in commands:
        before = orders[asked.order_id]
        decision = handle(before, stock, asked)
        _steps_are_legal(before, decision)
        _lows_are_crossings(stock, decision)
        orders[asked.order_id], stock = decision.order, decision.stock
        ledger += decision.movements
        answered.update(
            (asked.order_id, name) for event in decision.events if (name := getattr(event, "request_id", ""))
        )
        _lines_keep_their_laws(decision.order)
        _levels_agree(stock, ledger, orders)
    assert set(answered.values()) <= {1}


@pytest.mark.requirement("S-4")
@settings(max_examples=150, deadline=None)
@given(st.lists(command, max_size=12), st.lists(command, min_size=1, max_size=3))
def test_a_decision_looks_at_no_other_rows_than_were_asked_for(first: list[Command], then: list[Command]) -> None:
    state = Decision(OrderStock("o1"), START)
    for asked in first:
        state = handle(state.order, state.stock, _of_one_order(asked))
    batch = [_of_one_order(asked) for asked in then]
    needed = skus_needed(state.order, batch)
    whole = narrow = state
    narrow = Decision(state.order, {sku: rows for sku, rows in state.stock.items() if sku in needed})
    for asked in batch:
        whole = handle(whole.order, whole.stock, asked)
        narrow = handle(narrow.order, narrow.stock, asked)
        assert (narrow.order, narrow.events, narrow.movements) == (whole.order, whole.events, whole.movements)
        assert (narrow.outcome, narrow.answer) == (whole.outcome, whole.answer)


def _of_one_order(asked: Command) -> Command:
    return replace(asked, order_id="o1")


def _steps_are_legal(before: OrderStock, decision: Decision) -> None:
    for hold in decision.order.holds:
        old = before.hold(hold.reservation)
        if old is None:
            assert hold.state in TRANSITIONS[None]
        elif old.state is not hold.state:
            assert hold.state in TRANSITIONS[old.state]
    assert sum(hold.is_live for hold in decision.order.holds) <= 1
    assert decision.order is before or decision.order.version == before.version + 1


def _lows_are_crossings(before: Stock, decision: Decision) -> None:
    for rows in decision.stock.values():
        for row in rows.values():
            old = before[row.sku][row.location]
            lows = [
                e for e in decision.events if isinstance(e, StockLow) and (e.sku, e.location) == (row.sku, row.location)
            ]
            assert row.is_low is (row.available < row.threshold) or row is old
            if not old.is_low and row.is_low:
                assert len(lows) >= 1


def _lines_keep_their_laws(changed: OrderStock) -> None:
    for hold in changed.holds:
        for line in hold.lines:
            assert 0 <= line.returned <= line.shipped <= line.committed <= line.reserved
            assert 0 <= line.released <= line.reserved - line.shipped
            assert hold.is_live or line.open == 0


def _levels_agree(stock: Stock, ledger: list[Movement], orders: dict[str, OrderStock]) -> None:
    held: Counter[tuple[str, str]] = Counter()
    for one in orders.values():
        for hold in one.holds:
            for line in hold.lines:
                held[line.sku, line.location] += line.open
    for rows in stock.values():
        for row in rows.values():
            start = START[row.sku][row.location]
            mine = [entry for entry in ledger if (entry.sku, entry.location) == (row.sku, row.location)]
            assert row.on_hand == start.on_hand + sum(entry.on_hand for entry in mine)
            assert row.reserved == sum(entry.reserved for entry in mine) == held[row.sku, row.location]
            assert row.shipped == sum(entry.shipped for entry in mine)
            assert 0 <= row.reserved <= row.on_hand
