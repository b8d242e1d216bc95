"""What orders asks for by event: commit, release, ship, return.

Why: these requests are the only ones that move stock of a placed order (S-19). Each is answered, even when it cannot
be done, so that nobody waits for ever; what the books do not allow is not booked, but named a contradiction.
"""

from collections.abc import Iterable

from services.inventory.domain.commands import CommitStock, LineQuantity, ReleaseStock, ReturnStock, ShipStock, Units
from services.inventory.domain.facts import (
    Decision,
    Outcome,
    StockCommitted,
    StockReleased,
    StockReturned,
    StockShipped,
    StockUnavailable,
)
from services.inventory.domain.holds import Hold, HoldLine, HoldState, OrderStock, committed, open_units
from services.inventory.domain.reservations import by_line, end_live, give_back, take
from services.inventory.domain.stock import MovementKind, Shelf, Short, Shortage, Stock


def commit(order: OrderStock, stock: Stock, command: CommitStock) -> Decision:
    """Commit the hold; without one reserve and commit in one, or say that it cannot be (S-7)."""
    shelf, live = Shelf(stock, order.order_id), order.live
    if command.round <= order.released_round:
        return _unavailable(order, shelf, command, note="a commit of a round that was released")
    if live is not None and live.holds_exactly(command.lines):
        return _committed(order, shelf, command, live if live.state is HoldState.COMMITTED else committed(live))
    if live is not None and live.state is HoldState.COMMITTED:
        return _unavailable(order, shelf, command, note="other units are committed")
    ended, facts = end_live(shelf, order)
    taken = take(shelf, command.lines)
    if isinstance(taken, Short):
        return _unavailable(order, shelf, command, ended, facts, taken.shortages)
    fresh = Hold(order.last_reservation + 1, HoldState.ATTACHED, taken)
    return _committed(order, shelf, command, committed(fresh), ended, facts)


def release(order: OrderStock, stock: Stock, command: ReleaseStock) -> Decision:
    """Give back these units, or all that has not shipped; the answer says what went back."""
    shelf, live = Shelf(stock, order.order_id), order.live
    open_before = by_line(open_units(live.lines)) if live else {}
    asked = by_line(command.lines) if command.lines else open_before
    back = _at_most(asked, open_before)
    holds: tuple[Hold, ...] = ()
    if live is not None:
        lines = give_back(shelf, live.lines, back, MovementKind.RELEASED)
        is_over = not any(line.open or line.shipped for line in lines)
        holds = (live.to(HoldState.RELEASED, lines) if is_over else live._replace(lines=lines),)
    if back == open_before:
        order = order._replace(released_round=max(order.released_round, command.round))
    after = order.next(*holds, request_id=command.request_id)
    units = _units(live.lines if live else (), back)
    reservation = live.reservation if live else 0
    event = StockReleased(
        order.order_id, after.version, command.request_id, command.round, units, reservation, "requested"
    )
    wrong = "more was to be released than is open" if live is not None and back != asked else ""
    return _answered(after, shelf, event, wrong)


def ship(order: OrderStock, stock: Stock, command: ShipStock) -> Decision:
    """Book the units of a parcel out of the stock; more than is committed cannot be."""
    shelf, live = Shelf(stock, order.order_id), order.live
    asked = by_line(command.lines)
    sent = _at_most(asked, {line.line: line.shippable for line in live.lines} if live else {})
    holds: tuple[Hold, ...] = ()
    if live is not None:
        lines: list[HoldLine] = []
        for held in live.lines:
            units = sent.get(held.line, 0)
            if units:
                shelf.move(
                    held.sku, held.location, MovementKind.SHIPPED, on_hand=-units, reserved=-units, shipped=units
                )
                held = held._replace(shipped=held.shipped + units)
            lines.append(held)
        holds = (live._replace(lines=tuple(lines)),)
    after = order.next(*holds, request_id=command.request_id)
    units_sent = _units(live.lines if live else (), sent)
    event = StockShipped(order.order_id, after.version, command.request_id, command.shipment_id, units_sent)
    return _answered(after, shelf, event, "more was shipped than is committed" if sent != asked else "")


def return_(order: OrderStock, stock: Stock, command: ReturnStock) -> Decision:
    """Put units that came back on their shelf again; more than was shipped cannot be."""
    shelf, asked = Shelf(stock, order.order_id), by_line(command.lines)
    left, back, holds = dict(asked), dict[int, int](), list[Hold]()
    for hold in reversed(order.holds):
        lines: list[HoldLine] = []
        for held in hold.lines:
            units = min(left.get(held.line, 0), held.shipped - held.returned)
            if units:
                shelf.move(held.sku, held.location, MovementKind.RETURNED, on_hand=units)
                left[held.line] -= units
                back[held.line] = back.get(held.line, 0) + units
                held = held._replace(returned=held.returned + units)
            lines.append(held)
        if tuple(lines) != hold.lines:
            holds.append(hold._replace(lines=tuple(lines)))
    after = order.next(*holds, request_id=command.request_id)
    units_back = _units((line for hold in holds for line in hold.lines), back)
    event = StockReturned(order.order_id, after.version, command.request_id, command.return_id, units_back)
    return _answered(after, shelf, event, "more came back than was shipped" if back != asked else "")


def _committed(
    order: OrderStock,
    shelf: Shelf,
    command: CommitStock,
    hold: Hold,
    ended: tuple[Hold, ...] = (),
    facts: tuple[StockReleased, ...] = (),
) -> Decision:
    for held in hold.lines:
        shelf.note(held.sku, held.location, MovementKind.COMMITTED)
    after = order.next(*ended, hold, request_id=command.request_id)
    units, locations = (open_units(hold.lines), tuple((held.line, held.location) for held in hold.lines if held.open))
    event = StockCommitted(order.order_id, after.version, command.request_id, command.round, units, locations)
    return Decision(after, shelf.stock, (*facts, event, *shelf.events), tuple(shelf.movements))


def _unavailable(
    order: OrderStock,
    shelf: Shelf,
    command: CommitStock,
    ended: tuple[Hold, ...] = (),
    facts: tuple[StockReleased, ...] = (),
    shortages: tuple[Shortage, ...] = (),
    *,
    note: str = "",
) -> Decision:
    after = order.next(*ended, request_id=command.request_id)
    event = StockUnavailable(order.order_id, after.version, command.request_id, command.round, shortages)
    outcome = Outcome.CONTRADICTION if note else Outcome.APPLIED
    return Decision(after, shelf.stock, (*facts, event, *shelf.events), tuple(shelf.movements), outcome, note=note)


def _answered(
    after: OrderStock, shelf: Shelf, event: StockReleased | StockShipped | StockReturned, wrong: str
) -> Decision:
    outcome = Outcome.CONTRADICTION if wrong else Outcome.APPLIED
    return Decision(after, shelf.stock, (event, *shelf.events), tuple(shelf.movements), outcome, note=wrong)


def _at_most(asked: dict[int, int], possible: dict[int, int]) -> dict[int, int]:
    """What of `asked` is possible, line by line, without zeros."""
    both = {line: min(units, possible.get(line, 0)) for line, units in asked.items()}
    return {line: units for line, units in both.items() if units > 0}


def _units(lines: Iterable[HoldLine], by_number: dict[int, int]) -> Units:
    skus = {line.line: line.sku for line in lines if line.line in by_number}
    return tuple(LineQuantity(line, skus[line], units) for line, units in sorted(by_number.items()))
