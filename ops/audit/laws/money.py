"""Laws about money: what the provider says, what our ledger says and what the order says is one thing."""

from collections.abc import Mapping
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import STRIPE, Sources

# Payments' ledger by order and currency, in minor units.
_LEDGER: Final = """
SELECT order_id::text AS order_id, currency,
       sum(amount_minor) FILTER (WHERE fact = 'captured')::bigint AS captured,
       coalesce(sum(CASE fact WHEN 'refunded' THEN amount_minor WHEN 'refund_reversed' THEN -amount_minor END),
                0)::bigint AS refunded
  FROM payment_transactions GROUP BY order_id, currency
"""
_ORDERS: Final = """
SELECT order_id::text AS order_id, payment_currency AS currency, payment_captured_minor AS captured,
       payment_refunded_minor AS refunded
  FROM orders WHERE payment_captured_minor <> 0 OR payment_refunded_minor <> 0
"""
_ACCOUNTS: Final = """
SELECT order_id::text AS order_id, currency, account, sum(amount)::bigint AS balance
  FROM (SELECT order_id, currency, debit AS account, amount_minor AS amount FROM payment_transactions
        UNION ALL
        SELECT order_id, currency, credit, -amount_minor FROM payment_transactions) AS sides
 GROUP BY order_id, currency, account
"""
_REFUNDS: Final = """
SELECT r.order_id::text AS order_id, r.currency, r.amount, coalesce(t.amount, 0) AS told
  FROM (SELECT order_id, currency, sum(amount_minor)::bigint AS amount FROM refunds WHERE state = 'SUCCEEDED'
         GROUP BY order_id, currency) AS r
  LEFT JOIN (SELECT order_id, currency,
                    sum(CASE fact WHEN 'refunded' THEN amount_minor ELSE -amount_minor END)::bigint AS amount
               FROM payment_transactions WHERE fact IN ('refunded', 'refund_reversed')
              GROUP BY order_id, currency) AS t USING (order_id, currency)
 WHERE r.amount <> coalesce(t.amount, 0)
"""
_LIVE: Final = """
SELECT order_id::text AS order_id, object_id FROM payment_attempts
 WHERE state NOT IN ('SUCCEEDED', 'CANCELED')
"""
_ENDED: Final = """
SELECT order_id::text AS order_id, state FROM orders
 WHERE state IN ('DELIVERED', 'CANCELLED', 'REFUNDED', 'ARCHIVED')
"""
_KEPT: Final = """
SELECT order_id::text AS order_id, payment_currency AS currency,
       payment_captured_minor - payment_refunded_minor - payment_refund_pending_minor AS kept
  FROM orders
 WHERE (state = 'CANCELLED' OR (state = 'ARCHIVED' AND progress ->> 'archived_from' = 'CANCELLED'))
   AND payment_dispute NOT IN ('OPEN', 'LOST')
   AND payment_captured_minor > payment_refunded_minor + payment_refund_pending_minor
"""
Sums = Mapping[tuple[str, str], tuple[int, int]]  # (order id, currency) to (captured, refunded)


@law("payments", STRIPE)
async def provider_and_ledger_agree(sources: Sources) -> Found:
    """Per order and currency, what the provider took and gave back is what our ledger says (R-1.17)."""
    if sources.stripe is None or "payments" not in sources.databases:
        return []
    theirs = {
        (order_id, currency.upper()): (
            ledger.captured.get(currency, 0),
            ledger.refunded.get(currency, 0) - ledger.refund_pending.get(currency, 0),
        )
        for order_id, ledger in sources.stripe.items()
        for currency in {*ledger.captured, *ledger.refunded}
    }
    return _differences(theirs, "the provider", await _ledger(sources), "our ledger")


@law("orders", "payments")
async def order_and_ledger_agree(sources: Sources) -> Found:
    """Per order and currency, what the order shows as captured and refunded is what payments' ledger says."""
    if not {"orders", "payments"} <= sources.databases.keys():
        return []
    shown = {
        (row["order_id"], row["currency"]): (row["captured"], row["refunded"])
        for row in await sources.rows("orders", _ORDERS)
    }
    return _differences(shown, "the order", await _ledger(sources), "the ledger")


@law("payments")
async def ledger_is_balanced(sources: Sources) -> Found:
    """Debits equal credits, no customer gets back more than was taken, and no hold is released twice (R-1.17)."""
    balances: dict[tuple[str, str], dict[str, int]] = {}
    for row in await sources.rows("payments", _ACCOUNTS):
        balances.setdefault((row["order_id"], row["currency"]), {})[row["account"]] = row["balance"]
    found = []
    for (order_id, currency), accounts in balances.items():
        if total := sum(accounts.values()):
            found.append((order_id, f"debits and credits differ by {total} {currency}"))
        if accounts.get("customer", 0) > 0:
            found.append((order_id, f"{accounts['customer']} {currency} more was given back than taken"))
        if accounts.get("held", 0) < 0:
            found.append((order_id, f"{-accounts['held']} {currency} more was released than authorized"))
    found += [
        (row["order_id"], f"refunds of {row['amount']} {row['currency']} succeeded, the ledger has {row['told']}")
        for row in await sources.rows("payments", _REFUNDS)
    ]
    return found


@law("orders", "payments", STRIPE)
async def ended_orders_cannot_be_paid(sources: Sources) -> Found:
    """An order that has ended has no payment that a customer could still make (R-1.6)."""
    ended = {row["order_id"]: row["state"] for row in await sources.rows("orders", _ENDED)}
    live = {(row["order_id"], row["object_id"]) for row in await sources.rows("payments", _LIVE)}
    live |= {
        (order_id, object_id) for order_id, ledger in (sources.stripe or {}).items() for object_id in ledger.payable
    }
    return [
        (f"{order_id} {object_id}", f"can be paid, and the order is {ended[order_id]}")
        for order_id, object_id in sorted(live)
        if order_id in ended
    ]


@law("orders")
async def no_money_without_goods(sources: Sources) -> Found:
    """Of a cancelled order no money is kept, but what a bank holds."""
    return [
        (row["order_id"], f"is cancelled, and {row['kept']} {row['currency']} was neither given back nor asked for")
        for row in await sources.rows("orders", _KEPT)
    ]


async def _ledger(sources: Sources) -> Sums:
    return {
        (row["order_id"], row["currency"]): (row["captured"] or 0, row["refunded"])
        for row in await sources.rows("payments", _LEDGER)
    }


def _differences(left: Sums, left_name: str, right: Sums, right_name: str) -> Found:
    for order_id, currency in sorted({*left, *right}):
        one, other = left.get((order_id, currency), (0, 0)), right.get((order_id, currency), (0, 0))
        for word, mine, theirs in zip(("captured", "refunded"), one, other, strict=True):
            if mine != theirs:
                yield order_id, f"{word} {mine} {currency} for {left_name}, {theirs} for {right_name}"
