"""The demo's tables: orders by outcome, money, stock, parcels and mails, and one order's way.

Why: the numbers of two independent sides stand beside each other, for everybody to compare.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from onefold.inventory.v1 import inventory_pb2
from onefold.orders.v1 import orders_pb2
from rich.console import Console
from rich.table import Table

from ops.demo.books import Moment, Money
from ops.demo.customers import Played
from ops.demo.finish import state_of
from ops.demo.script import Story
from services.chassis.money import decimal_text
from simulators.views import ParcelLedger

REFUSED = "refused"


def show_outcomes(console: Console, played: Sequence[Played], orders: Mapping[str, orders_pb2.Order]) -> None:
    """Checkouts by story and where their orders ended."""
    counts: dict[Story, Counter[str]] = defaultdict(Counter)
    for one in played:
        counts[one.checkout.story][_outcome(one, orders)] += 1
    outcomes = sorted({outcome for count in counts.values() for outcome in count})
    table = _table("Checkouts", "story", *outcomes)
    for story in Story:
        table.add_row(story.value, *(str(counts[story][outcome] or "") for outcome in outcomes))
    table.add_section()
    table.add_row("all", *(str(sum(count[outcome] for count in counts.values())) for outcome in outcomes))
    console.print(table)


def show_money(console: Console, sums: Mapping[str, Money]) -> None:
    """Taken and given back: the provider's ledger beside ours."""
    table = _table(
        "Money", "currency", "taken at Stripe", "in our ledger", "given back at Stripe", "in our ledger", "kept"
    )
    for currency, money in sums.items():
        kept = money.taken_here - money.given_back_here
        amounts = (money.taken_there, money.taken_here, money.given_back_there, money.given_back_here, kept)
        table.add_row(currency, *(decimal_text(amount, currency) for amount in amounts))
    console.print(table)


def show_goods(
    console: Console,
    before: Iterable[inventory_pb2.StockLevel],
    after: Iterable[inventory_pb2.StockLevel],
    parcels: Mapping[str, ParcelLedger],
    shown: tuple[int, int],
    mails: Sequence[Mapping[str, object]],
) -> None:
    """Stock before and after, parcels sent and delivered at the provider beside ours (`shown`), mails."""
    early, late = _units(before), _units(after)
    table = _table("Stock", "location", "before", "after", "reserved", "shipped")
    for location in sorted(early):
        row = late[location]
        table.add_row(location, *(f"{number:,}" for number in (early[location][0], *row)))
    console.print(table)
    table = _table("Parcels and mails", "", "at the provider", "for orders")
    table.add_row("parcels sent", str(sum(each.parcels_sent for each in parcels.values())), str(shown[0]))
    table.add_row("delivered", str(sum(each.parcels_delivered for each in parcels.values())), str(shown[1]))
    subjects = Counter(_kind(str(mail["subject"])) for mail in mails)
    table.add_section()
    table.add_row("mails arrived", str(len(mails)), "")
    for subject, count in subjects.most_common():
        table.add_row(f"  {subject}", str(count), "")
    console.print(table)


def show_timeline(console: Console, title: str, moments: Sequence[Moment]) -> None:
    """One order's way, in milliseconds from its first moment."""
    table = _table(title, "ms", "service", "what")
    for moment in moments:
        table.add_row(f"{(moment.at - moments[0].at).total_seconds() * 1000:,.0f}", moment.who, moment.what)
    table.columns[2].justify = table.columns[1].justify = "left"
    console.print(table)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _outcome(one: Played, orders: Mapping[str, orders_pb2.Order]) -> str:
    if one.refused:
        return REFUSED
    order = orders[one.order_id]
    if order.state != orders_pb2.ORDER_STATE_CANCELLED:
        return state_of(order).lower()
    return f"cancelled: {orders_pb2.CancellationReason.Name(order.cancellation_reason)[20:].lower()}"


def _units(levels: Iterable[inventory_pb2.StockLevel]) -> dict[str, tuple[int, int, int]]:
    """Location to units on hand, reserved, shipped."""
    found: dict[str, tuple[int, int, int]] = {}
    for level in levels:
        on_hand, reserved, shipped = found.get(level.location, (0, 0, 0))
        found[level.location] = (on_hand + level.on_hand, reserved + level.reserved, shipped + level.shipped)
    return found


def _kind(subject: str) -> str:
    """The subject without the order's number."""
    return re.sub(r" [0-9A-Z]{4}-[0-9A-Z]{6}", "", subject).partition(":")[0]
