"""Arithmetic on units of lines.

Kept apart from money, because cancelling and shipping count units where no money moves.
"""

from __future__ import annotations

from dataclasses import replace

from services.orders.domain.order import LineQuantity, Order, Units
from services.orders.domain.states import ParcelState


def minus(units: Units, less: Units) -> Units:
    """Units without those of `less`, line by line, never below zero."""
    taken = quantities(less)
    left = (replace(unit, quantity=unit.quantity - taken.get(unit.line, 0)) for unit in units)
    return tuple(unit for unit in left if unit.quantity > 0)


def common(units: Units, other: Units) -> Units:
    """Units that both have, line by line."""
    return minus(units, minus(units, other))


def plus(units: Units, more: Units) -> Units:
    """Both together, one entry per line, in line order."""
    total: dict[int, LineQuantity] = {}
    for unit in (*units, *more):
        known = total.get(unit.line)
        total[unit.line] = replace(unit, quantity=unit.quantity + known.quantity) if known else unit
    return tuple(total[line] for line in sorted(total))


def quantities(units: Units) -> dict[int, int]:
    """Units by line number."""
    by_line: dict[int, int] = {}
    for unit in units:
        by_line[unit.line] = by_line.get(unit.line, 0) + unit.quantity
    return by_line


def move_units(order: Order, units: Units, column: str) -> Order:
    """Add `units` to one counter of their lines: shipped, cancelled, released or returned."""
    by_line = quantities(units)
    if not by_line:
        return order
    lines = tuple(
        replace(line, **{column: getattr(line, column) + by_line[line.line]}) if line.line in by_line else line
        for line in order.lines
    )
    return replace(order, lines=lines)


def cancelled_units(order: Order) -> Units:
    """Units that were cancelled."""
    return tuple(LineQuantity(line.line, line.sku, line.cancelled) for line in order.lines if line.cancelled)


def with_customer(order: Order) -> Units:
    """Units that left and are not back, neither by a return nor by the carrier; what is sent again is not back."""
    parcels = order.progress.parcels
    back = tuple(unit for parcel in parcels if parcel.state is ParcelState.RETURNED for unit in parcel.lines)
    resent = tuple(unit for parcel in parcels for unit in parcel.resent)
    return minus(returnable(order), minus(plus(back, ()), resent))


def returnable(order: Order) -> Units:
    """Units that left and did not come back yet; returns under way are not subtracted."""
    left = tuple(LineQuantity(line.line, line.sku, line.shipped - line.returned) for line in order.lines)
    return tuple(unit for unit in left if unit.quantity > 0)
