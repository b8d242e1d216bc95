"""The demo's catalogue and programme, and what it calls wrong."""

from collections import Counter
from pathlib import Path

import pytest
from onefold.orders.v1 import orders_pb2

from ops.data import make_catalogue
from ops.demo import _forget, catalogue, script
from ops.demo.customers import Played
from ops.demo.finish import disappointments, is_at_rest
from ops.demo.script import Checkout, Story
from ops.local.environment import Ports
from ops.local.stack import Stack

ROWS = catalogue.read()


def test_the_catalogue_is_what_its_generator_writes(tmp_path: Path) -> None:
    fresh = tmp_path / "catalogue.csv"
    make_catalogue.write(fresh)
    assert fresh.read_text() == catalogue.FILE.read_text()


@pytest.mark.requirement("R-3.5")
def test_a_thousand_items_with_prices_variants_and_stock_at_two_locations() -> None:
    assert len({row.sku for row in ROWS}) == len({row.variant_id for row in ROWS}) == len(ROWS) == 1000
    assert {tuple(row.prices) for row in ROWS} == {("GBP", "USD", "EUR", "INR", "ZAR", "JPY", "KWD")}
    assert {tuple(row.stock) for row in ROWS} == {("riga", "charlotte")}
    assert all(row.variant_id.isdigit() and row.weight_grams > 0 for row in ROWS)


@pytest.mark.requirement("R-1.20")
def test_prices_of_three_decimals_are_multiples_of_ten() -> None:
    assert all(row.prices["KWD"] % 10 == 0 and row.prices["KWD"] > 0 for row in ROWS)


def test_a_seed_always_plays_the_same_hundred() -> None:
    assert script.write(3, ROWS) == script.write(3, ROWS) != script.write(4, ROWS)
    played = Counter(checkout.story for checkout in script.write(3, ROWS))
    assert played == {story: times for story, times, _ in script.PROGRAMME}
    assert (sum(played.values()), set(played)) == (100, set(Story))


@pytest.mark.parametrize("quick", [False, True])
def test_rivals_want_the_same_last_unit(quick: bool) -> None:
    wanted = [one.lines for one in script.write(5, ROWS, quick=quick) if one.story is Story.LAST_UNIT]
    units = {row.sku: row.units for row in ROWS}
    assert all(count == 2 for count in Counter(wanted).values())
    assert all(units[lines[0][0]] == lines[0][1] == 1 for lines in wanted)


def of(story: Story) -> Checkout:
    """The first checkout of a story."""
    return next(one for one in script.write(1, ROWS) if one.story is story)


def test_two_winners_and_a_refused_customer_are_told() -> None:
    rivals = [one for one in script.write(1, ROWS) if one.story is Story.LAST_UNIT][:2]
    sku = rivals[0].lines[0][0]
    assert disappointments([Played(rivals[0], "a"), Played(rivals[1], refused="sold out")]) == []
    assert disappointments([Played(rivals[0], "a"), Played(rivals[1], "b")]) == [
        f"2 buyers of the last {sku}: 2 got it"
    ]
    guest = of(Story.GUEST)
    assert disappointments([Played(guest, refused="sold out")]) == [
        f"checkout {guest.number} (guest) was refused: sold out"
    ]


@pytest.mark.parametrize(
    ("story", "state", "at_rest"),
    [
        (Story.PAYS, orders_pb2.ORDER_STATE_DELIVERED, True),
        (Story.PAYS, orders_pb2.ORDER_STATE_SHIPPED, False),
        (Story.PAYS, orders_pb2.ORDER_STATE_CANCELLED, False),
        (Story.LEAVES, orders_pb2.ORDER_STATE_CANCELLED, True),
        (Story.LEAVES, orders_pb2.ORDER_STATE_DELIVERED, False),
        (Story.MANUAL, orders_pb2.ORDER_STATE_CANCELLED, True),
    ],
)
def test_an_order_may_end_as_its_story_says(
    story: Story, state: orders_pb2.OrderState.ValueType, at_rest: bool
) -> None:
    order = orders_pb2.Order(state=state, cancellation_reason=orders_pb2.CANCELLATION_REASON_EXPIRED)
    assert is_at_rest(Played(of(story), "a"), order) is at_rest
    order.cancellation = orders_pb2.CANCELLATION_STATE_REQUESTED
    assert not is_at_rest(Played(of(story), "a"), order)


def test_of_a_demo_that_failed_the_logs_stay(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state", at=Ports.free())
    (stack.state / "logs").mkdir()
    (stack.state / "logs" / "orders.log").write_text("why")
    (stack.state / "kafka" / "data").mkdir(parents=True)
    _forget(stack, logs_too=False)
    assert [path.name for path in stack.state.rglob("*")] == ["logs", "orders.log"]
    _forget(stack, logs_too=True)
    assert not stack.state.exists()
