"""Laws about orders: one per payment, and a history without gaps."""

from ops.audit.law import Found, law
from ops.audit.sources import STRIPE, Sources

_OBJECTS = "SELECT provider_object_id, order_id::text AS order_id FROM order_payments"
_ATTEMPTS = """
SELECT DISTINCT object.id, attempt.order_id::text AS order_id, attempt.state
  FROM payment_attempts AS attempt, LATERAL (VALUES (object_id), (payment_id)) AS object (id)
 WHERE object.id <> ''
"""
_HISTORY = """
SELECT order_id::text AS order_id, problem FROM (
    SELECT order_id, CASE
        WHEN number <> lag(number, 1, 0) OVER steps + 1 THEN 'entry ' || number || ' does not follow the one before'
        WHEN from_state IS DISTINCT FROM lag(to_state) OVER steps
            THEN 'entry ' || number || ' does not begin where the one before ended'
        END AS problem
      FROM order_history WINDOW steps AS (PARTITION BY order_id ORDER BY number)) AS entries
 WHERE problem IS NOT NULL
 ORDER BY order_id
"""
_NEWEST = """
SELECT o.order_id::text AS order_id, o.state, h.to_state FROM orders AS o
  LEFT JOIN LATERAL (SELECT to_state FROM order_history AS e WHERE e.order_id = o.order_id
                      ORDER BY number DESC LIMIT 1) AS h ON true
 WHERE o.state IS DISTINCT FROM h.to_state
 ORDER BY o.order_id
"""


@law("orders", "payments", STRIPE)
async def one_order_per_payment(sources: Sources) -> Found:
    """A payment at the provider belongs to one order, the same one for orders, payments and the provider (R-1.1)."""
    if not {"orders", "payments"} <= sources.databases.keys():
        return []
    ours = {row["provider_object_id"]: row["order_id"] for row in await sources.rows("orders", _OBJECTS)}
    attempts = await sources.rows("payments", _ATTEMPTS)
    known = {row["order_id"] for row in await sources.rows("orders", "SELECT order_id::text AS order_id FROM orders")}
    found = [
        (f"{row['id']} {row['order_id']}", f"belongs to order {ours[row['id']]} for orders")
        for row in attempts
        if ours.get(row["id"], row["order_id"]) != row["order_id"]
    ]
    found += [
        (f"{row['id']} {row['order_id']}", "was paid, and there is no such order")
        for row in attempts
        if row["state"] == "SUCCEEDED" and row["order_id"] not in known
    ]
    by_object = {row["id"]: row["order_id"] for row in attempts}
    for order_id, ledger in (sources.stripe or {}).items():
        found += [
            (f"{intent.id} {order_id}", f"belongs to order {by_object[intent.id]} for payments")
            for intent in ledger.intents
            if by_object.get(intent.id, order_id) != order_id
        ]
    return found


@law("orders")
async def history_is_continuous(sources: Sources) -> Found:
    """An order's history has no gap, and its newest entry is the order's state (R-2.4)."""
    gaps = [(row["order_id"], row["problem"]) for row in await sources.rows("orders", _HISTORY)]
    newest = [
        (row["order_id"], f"is {row['state']}, its history ends at {row['to_state']}")
        for row in await sources.rows("orders", _NEWEST)
    ]
    return gaps + newest
