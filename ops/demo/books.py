"""What the demo reads for its tables: the provider's books beside ours, and one order's way through all services.

Why: a table that shows our numbers only would prove nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from simulators.views import OrderLedger

_OURS: Final = """
SELECT currency,
       coalesce(sum(amount_minor) FILTER (WHERE fact = 'captured'), 0)::bigint AS taken,
       coalesce(sum(CASE fact WHEN 'refunded' THEN amount_minor WHEN 'refund_reversed' THEN -amount_minor END),
                0)::bigint AS given_back
  FROM payment_transactions GROUP BY currency
"""
_HISTORY: Final = """
SELECT occurred_at AS at, 'orders' AS who,
       to_state || CASE WHEN reason = '' THEN '' ELSE ' (' || reason || ')' END AS what
  FROM order_history WHERE order_id::text = $1 ORDER BY number
"""
_MONEY: Final = """
SELECT recorded_at AS at, 'payments' AS who, 'ledger: ' || fact || ' ' || amount_minor || ' ' || currency AS what
  FROM payment_transactions WHERE order_id::text = $1
UNION ALL
SELECT processed_at, 'payments', 'webhook ' || type || ' ' || outcome
       || CASE WHEN deliveries > 1 THEN ' (delivered ' || deliveries || ' times)' ELSE '' END
  FROM webhook_events WHERE order_id::text = $1 AND processed_at IS NOT NULL
UNION ALL
SELECT settled_at, 'payments', 'call ' || kind || ' ' || state
       || CASE WHEN tries > 1 THEN ' (' || tries || ' tries)' ELSE '' END
  FROM operations WHERE subject = $1 AND settled_at IS NOT NULL
"""
_STOCK: Final = """
SELECT occurred_at AS at, 'inventory' AS who,
       kind || ' ' || greatest(abs(reserved_delta), abs(on_hand_delta)) || ' x ' || sku || ' at ' || location AS what
  FROM stock_ledger WHERE order_id = $1 AND kind <> 'committed'
UNION ALL
SELECT occurred_at, 'inventory', 'committed ' || sku || ' at ' || location
  FROM stock_ledger WHERE order_id = $1 AND kind = 'committed'
"""
_GOODS: Final = """
SELECT settled_at AS at, 'fulfillment' AS who, 'call ' || kind || ' ' || state
       || CASE WHEN tries > 1 THEN ' (' || tries || ' tries)' ELSE '' END AS what
  FROM operations WHERE subject = $1 AND settled_at IS NOT NULL
UNION ALL
SELECT processed_at, 'fulfillment', 'webhook ' || type || ' ' || outcome
  FROM webhooks WHERE object_id IN (SELECT object_id FROM fulfillments WHERE order_id::text = $1)
   AND processed_at IS NOT NULL
"""
_MAILS: Final = """
SELECT settled_at AS at, 'emails' AS who, 'mail ' || kind || ' ' || state AS what
  FROM mails WHERE subject = $1 AND settled_at IS NOT NULL
"""
_TIMES: Final = (
    ("orders", _HISTORY),
    ("payments", _MONEY),
    ("inventory", _STOCK),
    ("fulfillment", _GOODS),
    ("emails", _MAILS),
)
_PARCELS: Final = "SELECT count(*) AS sent, count(delivered_at) AS delivered FROM parcels"
_INCIDENTS: Final = "SELECT kind, count(*) AS count FROM incidents WHERE state = 'OPEN' GROUP BY kind ORDER BY kind"


@dataclass(frozen=True)
class Money:
    """Minor units of one currency, at the provider and in our ledger."""

    taken_there: int
    taken_here: int
    given_back_there: int
    given_back_here: int


@dataclass(frozen=True)
class Moment:
    """One thing that happened to an order."""

    at: datetime
    who: str
    what: str


async def money(variables: Mapping[str, str], ledgers: Mapping[str, OrderLedger]) -> dict[str, Money]:
    """By currency."""
    taken: Counter[str] = Counter()
    given_back: Counter[str] = Counter()
    for ledger in ledgers.values():
        taken.update({currency.upper(): amount for currency, amount in ledger.captured.items()})
        given_back.update({currency.upper(): amount for currency, amount in ledger.refunded.items()})
    ours = {row["currency"]: row for row in await _read(variables, "payments", _OURS)}
    nothing = {"taken": 0, "given_back": 0}
    return {
        currency: Money(
            taken[currency],
            ours.get(currency, nothing)["taken"],
            given_back[currency],
            ours.get(currency, nothing)["given_back"],
        )
        for currency in sorted({*taken, *ours})
    }


async def timeline(variables: Mapping[str, str], order_id: str) -> list[Moment]:
    """What every service wrote down about one order, in time."""
    moments = [
        Moment(row["at"], row["who"], row["what"].replace("_", " ").lower() if name == "emails" else row["what"])
        for name, sql in _TIMES
        for row in await _read(variables, name, sql, order_id)
    ]
    return sorted(moments, key=lambda moment: moment.at)  # stable: one service's entries stay in its own order


async def parcels(variables: Mapping[str, str]) -> tuple[int, int]:
    """Parcels that orders knows of, and how many of them arrived."""
    row = (await _read(variables, "orders", _PARCELS))[0]
    return row["sent"], row["delivered"]


async def incidents(variables: Mapping[str, str]) -> dict[str, int]:
    """Open incidents by kind, over all services."""
    found: defaultdict[str, int] = defaultdict(int)
    for name in ("orders", "inventory", "payments", "fulfillment"):
        for row in await _read(variables, name, _INCIDENTS):
            found[row["kind"]] += row["count"]
    return dict(found)


async def _read(variables: Mapping[str, str], service: str, sql: str, *values: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(variables[f"ONEFOLD_{service.upper()}_DATABASE_URL"])
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()
