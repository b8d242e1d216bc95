"""Reservations until an order owns them: reserved, undone, lapsed or attached.

Why: whoever reserves may crash, come late or come twice. A number is used once, a tombstone refuses what is still
under way (S-6), and what no order came to own goes back by itself (S-7).
"""

from collections.abc import Iterable, Sequence

from services.inventory.domain.catalogue import Cart, CartProblem, PricedLine, ProblemKind, quantities
from services.inventory.domain.commands import AttachHold, LapseHold, LineQuantity, ReserveStock, UndoReservation, Units
from services.inventory.domain.facts import (
    Decision,
    Refused,
    RefusedReason,
    StockReleased,
    StockReserved,
    StockUnavailable,
    stale,
)
from services.inventory.domain.holds import FIRST_ROUND, Hold, HoldLine, HoldState, OrderStock, open_units
from services.inventory.domain.stock import MovementKind, Shelf, Short, Stock, choose_locations


def check_cart(cart: Cart, stock: Stock) -> tuple[CartProblem, ...]:
    """All problems of all lines: those of the catalogue, then what is short (R-2.1)."""
    chosen = choose_locations(quantities(cart.lines), stock)
    return _with_shortages(cart, chosen) if isinstance(chosen, Short) else cart.problems


def reserve(order: OrderStock, stock: Stock, command: ReserveStock) -> Decision:
    """Hold the whole cart or nothing; the same number again answers the same hold."""
    known, live = order.hold(command.reservation), order.live
    if known is not None and known.is_live:
        return stale(order, stock, "reserved before", known)
    if known is not None or order.last_reservation > command.reservation:
        return stale(order, stock, "undone", Refused(RefusedReason.RESERVATION_UNDONE))
    if order.placed or order.released_round or (live is not None and live.state is not HoldState.TENTATIVE):
        return stale(order, stock, "placed", Refused(RefusedReason.ORDER_PLACED))
    shelf = Shelf(stock, order.order_id)
    ended, facts = end_live(shelf, order)  # the undo of the number before got lost: this one replaces it
    cart = command.cart
    taken = take(shelf, cart.lines)
    if cart.problems or isinstance(taken, Short):
        problems = _with_shortages(cart, taken) if isinstance(taken, Short) else cart.problems
        return stale(order, stock, "rejected", Refused(RefusedReason.CART_REJECTED, problems))
    hold = Hold(command.reservation, HoldState.TENTATIVE, taken, command.lapses_at)
    after = order.next(*ended, hold)
    held = StockReserved(order.order_id, after.version, hold.reservation, open_units(taken), command.lapses_at)
    return Decision(after, shelf.stock, (*facts, held, *shelf.events), tuple(shelf.movements), answer=hold)


def undo(order: OrderStock, stock: Stock, command: UndoReservation) -> Decision:
    """Give a tentative hold back, or leave a tombstone; a hold that an order owns stays."""
    hold = order.hold(command.reservation)
    if hold is None:
        return Decision(order.next(Hold(command.reservation, HoldState.RELEASED)), stock, note="tombstone")
    if hold.state is not HoldState.TENTATIVE:
        return stale(order, stock, f"hold is {hold.state}")
    return _give_back(order, stock, hold, HoldState.RELEASED, "undone")


def lapse(order: OrderStock, stock: Stock, command: LapseHold) -> Decision:
    """Give a tentative hold back when its time is over."""
    hold = order.live
    if hold is None or hold.lapses_at is None or hold.lapses_at > command.now:
        return stale(order, stock, "nothing to lapse")
    return _give_back(order, stock, hold, HoldState.LAPSED, "lapsed")


def attach(order: OrderStock, stock: Stock, command: AttachHold) -> Decision:
    """Make the hold the order's; if it was lost meanwhile, reserve again or say that it cannot be (S-7)."""
    if order.placed or order.released_round:
        return stale(order, stock, "placed before")
    order, live = order._replace(placed=True), order.live
    if live is not None and live.state is HoldState.TENTATIVE and live.holds_exactly(command.lines):
        return Decision(order.next(live.to(HoldState.ATTACHED)), stock)
    if live is not None and live.state is not HoldState.TENTATIVE:
        return Decision(order.next(), stock, note=f"hold is {live.state}")
    shelf = Shelf(stock, order.order_id)
    ended, facts = end_live(shelf, order)
    taken = take(shelf, command.lines)
    if isinstance(taken, Short):
        after = order.next(*ended)
        lost = StockUnavailable(order.order_id, after.version, "", FIRST_ROUND, taken.shortages)
        return Decision(after, shelf.stock, (*facts, lost, *shelf.events), tuple(shelf.movements), note="hold was lost")
    hold = Hold(order.last_reservation + 1, HoldState.ATTACHED, taken)
    after = order.next(*ended, hold)
    held = StockReserved(order.order_id, after.version, hold.reservation, open_units(taken), None)
    return Decision(after, shelf.stock, (*facts, held, *shelf.events), tuple(shelf.movements), note="reserved again")


def take(shelf: Shelf, wanted: Sequence[PricedLine] | Units) -> tuple[HoldLine, ...] | Short:
    """Reserve all of these lines, or none and say what is short."""
    chosen = choose_locations(quantities(wanted), shelf.stock)
    if isinstance(chosen, Short):
        return chosen
    taken: list[HoldLine] = []
    for line in wanted:
        location = chosen[line.sku]
        name, price = (line.name, line.price) if isinstance(line, PricedLine) else ("", None)
        shelf.move(line.sku, location, MovementKind.RESERVED, reserved=line.quantity)
        taken.append(HoldLine(line.line, line.sku, location, line.quantity, name=name, price=price))
    return tuple(taken)


def give_back(
    shelf: Shelf, lines: Iterable[HoldLine], units: dict[int, int], kind: MovementKind
) -> tuple[HoldLine, ...]:
    """The lines after `units` (by line number, each at most what is open) went back to the stock."""
    after: list[HoldLine] = []
    for held in lines:
        back = units.get(held.line, 0)
        if back:
            shelf.move(held.sku, held.location, kind, reserved=-back)
            held = held._replace(released=held.released + back)
        after.append(held)
    return tuple(after)


def end_live(shelf: Shelf, order: OrderStock) -> tuple[tuple[Hold, ...], tuple[StockReleased, ...]]:
    """Give back the live hold, if there is one, for another to take its place."""
    live = order.live
    if live is None:
        return (), ()
    units = open_units(live.lines)
    ended = live.to(HoldState.RELEASED, give_back(shelf, live.lines, by_line(units), MovementKind.RELEASED))
    return (ended,), (StockReleased(order.order_id, order.version + 1, "", 0, units, live.reservation, "undone"),)


def by_line(units: Iterable[LineQuantity]) -> dict[int, int]:
    """Units by line number."""
    total: dict[int, int] = {}
    for unit in units:
        total[unit.line] = total.get(unit.line, 0) + unit.quantity
    return total


def _with_shortages(cart: Cart, short: Short) -> tuple[CartProblem, ...]:
    """The catalogue's problems, then what is short."""
    return cart.problems + tuple(
        CartProblem(ProblemKind.OUT_OF_STOCK, each.sku, each.requested, each.available) for each in short.shortages
    )


def _give_back(order: OrderStock, stock: Stock, hold: Hold, state: HoldState, reason: str) -> Decision:
    """End a tentative hold, which no order owns."""
    shelf = Shelf(stock, order.order_id)
    units = open_units(hold.lines)
    kind = MovementKind.LAPSED if state is HoldState.LAPSED else MovementKind.RELEASED
    after = order.next(hold.to(state, give_back(shelf, hold.lines, by_line(units), kind)))
    event = StockReleased(order.order_id, after.version, "", 0, units, hold.reservation, reason)
    return Decision(after, shelf.stock, (event, *shelf.events), tuple(shelf.movements))
