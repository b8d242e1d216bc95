"""What must be true of a shop at rest, asked of our databases and of the providers' own ledgers.

Why: a flow proves nothing by its last state alone; money, stock, parcels and events must agree on both sides.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from tests.flow.shop import READS, Shop

GONE: Final = ("CANCELLED", "REFUNDED")
LIVE: Final = ("CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED")

UNFINISHED: Final = {
    "events not relayed": "SELECT aggregateid FROM outbox",
    "operations not settled": "SELECT id::text FROM operations WHERE settled_at IS NULL",
    "keys parked": "SELECT consumer || ' ' || key FROM parked_keys",
    "requests unfinished": "SELECT request_id FROM idempotency_keys WHERE phase NOT IN ('DONE', 'FAILED')",
}
ORDERS: Final = """
SELECT order_id::text, state, cancellation, total_minor, currency, payment_captured_minor, payment_refunded_minor
  FROM orders
"""
LEDGER: Final = """
SELECT order_id::text,
       sum(CASE fact WHEN 'captured' THEN amount_minor ELSE 0 END)::bigint AS captured,
       sum(CASE fact WHEN 'refunded' THEN amount_minor WHEN 'refund_reversed' THEN -amount_minor ELSE 0 END)::bigint
           AS refunded,
       count(*) FILTER (WHERE fact = 'captured') AS captures
  FROM payment_transactions GROUP BY order_id
"""
STOCK: Final = """
SELECT s.sku FROM stock s
  LEFT JOIN (SELECT sku, location, sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
                    sum(shipped_delta) AS shipped FROM stock_ledger GROUP BY sku, location) l USING (sku, location)
  LEFT JOIN (SELECT sku, location, sum(reserved - hold_lines.shipped - released) AS held FROM hold_lines
               JOIN holds USING (order_id, reservation)
              WHERE state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED') GROUP BY sku, location) h USING (sku, location)
 WHERE s.on_hand <> coalesce(l.on_hand, 0) OR s.reserved <> coalesce(l.reserved, 0)
    OR s.shipped <> coalesce(l.shipped, 0) OR s.reserved <> coalesce(h.held, 0)
"""
HOLDS: Final = """
SELECT order_id, state, (SELECT sum(reserved - shipped - released) FROM hold_lines l
                          WHERE (l.order_id, l.reservation) = (h.order_id, h.reservation))::bigint AS held
  FROM holds h WHERE state IN ('TENTATIVE', 'ATTACHED', 'COMMITTED')
"""
CLAIMS: Final = "SELECT topic, count(*)::bigint AS claims FROM inbox GROUP BY topic"


async def breaches(shop: Shop, *, incidents: Collection[str] = ()) -> list[str]:
    """One line per law that is broken; incidents of the named kinds may be open."""
    found = [f"{name}: {what}" for name in shop.nodes for what in await _unfinished(shop, name, incidents)]
    orders = {row["order_id"]: row for row in await shop.rows("orders", ORDERS)}
    found += await _money(shop, orders)
    found += await _stock(shop, orders)
    found += await _parcels(shop, orders)
    return found + await _events(shop)


async def _unfinished(shop: Shop, name: str, incidents: Collection[str]) -> list[str]:
    found = []
    for what, sql in UNFINISHED.items():
        found += [f"{what}: {row[0]}" for row in await shop.rows(name, sql)]
    opened = await shop.rows(name, "SELECT kind, subject FROM incidents WHERE state = 'OPEN'")
    return found + [f"incident {row['kind']}: {row['subject']}" for row in opened if row["kind"] not in incidents]


async def _money(shop: Shop, orders: dict[str, Any]) -> list[str]:
    """Captured and refunded are the same at the provider, in the ledger and in the order; and who has what is right."""
    ours = {row["order_id"]: row for row in await shop.rows("payments", LEDGER)}
    theirs = await shop.sim.client.stripe.ledgers()
    found = []
    for order_id in {*orders, *ours, *theirs}:
        there = theirs.get(order_id)
        captured = sum(there.captured.values()) if there else 0
        refunded = sum(there.refunded.values()) if there else 0
        row, order = ours.get(order_id), orders.get(order_id)
        if (captured, refunded) != ((row["captured"], row["refunded"]) if row else (0, 0)):
            found.append(f"ledger differs from the provider's: {order_id}")
        if order is None:
            if captured != refunded or (there and there.payable):
                found.append(f"money or an intent without an order: {order_id}")
            continue
        if (captured, refunded) != (order["payment_captured_minor"], order["payment_refunded_minor"]):
            found.append(f"the order knows other money: {order_id}")
        if order["state"] in LIVE and captured - refunded != order["total_minor"]:
            found.append(f"{order['state']} and not paid: {order_id}")
        if order["state"] in GONE and (captured != refunded or (there and there.payable)):
            found.append(f"{order['state']} and paid or payable: {order_id}")
        if order["state"] == "PENDING" and captured:
            found.append(f"PENDING and paid: {order_id}")
        if order["cancellation"] == "REQUESTED":
            found.append(f"a cancellation without an end: {order_id}")
    return found


async def _stock(shop: Shop, orders: dict[str, Any]) -> list[str]:
    """Counters, ledger and holds agree (R-3.3); only live orders hold."""
    found = [f"stock does not add up: {row['sku']}" for row in await shop.rows("inventory", STOCK)]
    for row in await shop.rows("inventory", HOLDS):
        order = orders.get(row["order_id"])
        if row["held"] and (order is None or order["state"] in GONE):
            found.append(f"held for nobody: {row['order_id']} {row['state']}")
    return found


async def _parcels(shop: Shop, orders: dict[str, Any]) -> list[str]:
    """One object and one charge at the provider for each live order; what left is what we say has left."""
    found = []
    for order_id, order in orders.items():
        there = await shop.sim.client.printful.ledger(shop.external_id(order_id))
        shipped = await shop.value(
            "orders", "SELECT sum(shipped)::bigint FROM order_lines WHERE order_id = $1::uuid", order_id
        )
        wanted = 1 if order["state"] in ("PROCESSING", "SHIPPED", "DELIVERED") else 0
        live = sum(each.status != "canceled" for each in there.orders)
        if there.times_created > 1 or live != wanted or there.times_charged - there.times_charge_returned != wanted:
            found.append(f"{there.times_created} objects, {live} live, {there.times_charged} charged: {order_id}")
        if sum(there.units_sent.values()) != (shipped or 0):
            found.append(f"other units left than we know: {order_id}")
    return found


async def _events(shop: Shop) -> list[str]:
    """Every event was claimed by every consumer of its topic; twice is what the claim prevents."""
    events = await distinct_events(shop)
    found = []
    for name, topics in READS.items():
        claims = Counter({row["topic"]: row["claims"] for row in await shop.rows(name, CLAIMS)})
        for topic in topics:
            said, heard = len(events[topic]), claims[f"onefold.{topic}.v1"]
            if said != heard:
                found.append(f"{name} claimed {heard} of {said} events of {topic}")
    return found


async def distinct_events(shop: Shop) -> dict[str, set[str]]:
    """Service -> ids of all events that are on its topic."""
    return {name: {event.id for event in await shop.events(name)} for name in shop.nodes}
