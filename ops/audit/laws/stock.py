"""Laws about stock: ledger, counters and holds say the same, and nobody holds what nobody ordered (R-3.3)."""

from datetime import timedelta
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import Sources

LAPSE: Final = timedelta(minutes=10)
_COUNTERS: Final = """
SELECT sku, location, coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved,
       coalesce(s.shipped, 0) AS shipped, coalesce(l.on_hand, 0) AS on_hand_told,
       coalesce(l.reserved, 0) AS reserved_told, coalesce(l.shipped, 0) AS shipped_told
  FROM stock AS s FULL JOIN (
       SELECT sku, location, sum(on_hand_delta)::bigint AS on_hand, sum(reserved_delta)::bigint AS reserved,
              sum(shipped_delta)::bigint AS shipped
         FROM stock_ledger GROUP BY sku, location) AS l USING (sku, location)
 WHERE (coalesce(s.on_hand, 0), coalesce(s.reserved, 0), coalesce(s.shipped, 0))
       <> (coalesce(l.on_hand, 0), coalesce(l.reserved, 0), coalesce(l.shipped, 0))
"""
_HELD: Final = """
SELECT sku, location, coalesce(s.reserved, 0) AS reserved, coalesce(h.held, 0) AS held
  FROM stock AS s FULL JOIN (
       SELECT sku, location, sum(line.reserved - line.shipped - line.released)::bigint AS held
         FROM holds JOIN hold_lines AS line USING (order_id, reservation)
        WHERE state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED') GROUP BY sku, location) AS h USING (sku, location)
 WHERE coalesce(s.reserved, 0) <> coalesce(h.held, 0)
"""
_NEGATIVE: Final = """
SELECT sku, location, on_hand, reserved, shipped FROM stock
 WHERE least(on_hand, reserved, shipped) < 0 OR reserved > on_hand
"""
_OPEN: Final = """
SELECT order_id, state, sum(line.reserved - line.shipped - line.released)::bigint AS units
  FROM holds JOIN hold_lines AS line USING (order_id, reservation)
 WHERE state IN ('ATTACHED', 'COMMITTED')
 GROUP BY order_id, state HAVING sum(line.reserved - line.shipped - line.released) > 0
"""
_LAPSED: Final = """
SELECT order_id, reservation, lapses_at FROM holds WHERE state = 'TENTATIVE' AND lapses_at < now() - $1::interval
"""
_STATES: Final = "SELECT order_id::text AS order_id, state FROM orders"
_LIVE: Final = ("PENDING", "CONFIRMED", "PROCESSING", "SHIPPED")


@law("inventory")
async def stock_ledger_equals_counters(sources: Sources) -> Found:
    """Per SKU and location, the ledger's sums are the counters."""
    return [
        (f"{row['sku']} {row['location']}", f"{name} is {row[name]}, the ledger says {row[f'{name}_told']}")
        for row in await sources.rows("inventory", _COUNTERS)
        for name in ("on_hand", "reserved", "shipped")
        if row[name] != row[f"{name}_told"]
    ]


@law("inventory")
async def reserved_equals_holds(sources: Sources) -> Found:
    """Per SKU and location, what is reserved is what open holds hold."""
    return [
        (f"{row['sku']} {row['location']}", f"reserved is {row['reserved']}, open holds have {row['held']}")
        for row in await sources.rows("inventory", _HELD)
    ]


@law("inventory")
async def stock_is_never_negative(sources: Sources) -> Found:
    """No counter is below zero, and no more is reserved than is there."""
    return [
        (
            f"{row['sku']} {row['location']}",
            f"on hand {row['on_hand']}, reserved {row['reserved']}, shipped {row['shipped']}",
        )
        for row in await sources.rows("inventory", _NEGATIVE)
    ]


@law("inventory", "orders")
async def holds_belong_to_live_orders(sources: Sources) -> Found:
    """A hold without time limit belongs to an order that still needs the goods; one with a limit lapses (S-7)."""
    lapsed = [
        (
            row["order_id"],
            f"reservation {row['reservation']} should have lapsed at {row['lapses_at']:%Y-%m-%d %H:%M:%S}",
        )
        for row in await sources.rows("inventory", _LAPSED, sources.older_than(LAPSE))
    ]
    if "orders" not in sources.databases:
        return lapsed
    states = {row["order_id"]: row["state"] for row in await sources.rows("orders", _STATES)}
    return lapsed + [
        (
            row["order_id"],
            f"{row['units']} units are {row['state']}, and the order is {states.get(row['order_id'], 'unknown')}",
        )
        for row in await sources.rows("inventory", _OPEN)
        if states.get(row["order_id"]) not in _LIVE
    ]
