"""Laws about goods: what left the provider is what we know of, once, and never beside all of its money."""

from collections import Counter, defaultdict
from typing import Final

from ops.audit.law import Found, law
from ops.audit.sources import PRINTFUL, Sources
from services.fulfillment.providers.printful import PrintfulProvider

_SHIPMENTS: Final = """
SELECT s.order_id::text AS order_id, s.id::text AS id, s.provider_id
  FROM shipments AS s JOIN fulfillments USING (order_id)
 WHERE provider = 'printful'
"""
_PARCELS: Final = "SELECT order_id::text AS order_id, shipment_id FROM parcels"
_SHIPPED: Final = "SELECT order_id::text AS order_id, line, shipped FROM order_lines WHERE shipped > 0"
_SENT: Final = """
SELECT order_id::text AS order_id, sku, shipped AS units FROM order_lines WHERE shipped > 0
UNION ALL
SELECT p.order_id::text, r.sku, r.quantity
  FROM parcels p CROSS JOIN jsonb_to_recordset(p.resent) AS r (sku text, quantity bigint)
"""
_LEFT: Final = """
SELECT order_id, line, sum(shipped)::bigint AS shipped FROM hold_lines GROUP BY order_id, line HAVING sum(shipped) > 0
"""
_VARIANTS: Final = "SELECT sku, variant_ids ->> 'printful_variant_id' AS variant FROM items"
# What a person was told of is the seller's own decision: goods that were refunded without coming back, that the carrier
# lost or brings back, or that left although they had been stopped. Any other incident is about something else.
_TOLD: Final = ["refunded_without_return", "parcel_lost", "parcel_returned", "contradiction"]
_BOTH: Final = """
SELECT order_id::text AS order_id, state, sum(line.shipped - line.returned)::bigint AS units,
       payment_refunded_minor AS refunded, payment_currency AS currency
  FROM orders AS o JOIN order_lines AS line USING (order_id)
 WHERE payment_captured_minor > 0 AND payment_refunded_minor >= payment_captured_minor
   AND NOT EXISTS (SELECT FROM incidents AS i WHERE i.order_id = o.order_id::text AND i.kind = ANY($1::text[]))
 GROUP BY order_id HAVING sum(line.shipped - line.returned) > 0
"""


@law("orders")
async def goods_and_refund_never_both(sources: Sources) -> Found:
    """No customer has both the goods and all of the money, unless a person was told (SAGA 2)."""
    return [
        (
            row["order_id"],
            f"is {row['state']}: {row['units']} units left, and {row['refunded']} {row['currency']} went back",
        )
        for row in await sources.rows("orders", _BOTH, _TOLD)
    ]


@law("fulfillment", PRINTFUL)
async def parcels_are_the_providers(sources: Sources) -> Found:
    """Per order, the provider's parcels are ours: none missing, none of another order, none twice (R-4.6)."""
    if sources.printful is None or "fulfillment" not in sources.databases:
        return []
    theirs: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for external_id, ledger in sources.printful.items():
        order_id = PrintfulProvider.order_of(external_id) or external_id
        theirs[order_id].update(str(parcel.id) for order in ledger.orders for parcel in order.parcels)
    ours: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in await sources.rows("fulfillment", _SHIPMENTS):
        ours[row["order_id"]][row["provider_id"]] += 1
    return _sets(theirs, "the provider", ours, "fulfillment")


@law("orders", "fulfillment")
async def parcels_reach_orders(sources: Sources) -> Found:
    """Per order, fulfillment's parcels are those that orders knows of."""
    if not {"orders", "fulfillment"} <= sources.databases.keys():
        return []
    ours: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in await sources.rows("fulfillment", _SHIPMENTS):
        ours[row["order_id"]][row["id"]] += 1
    shown: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in await sources.rows("orders", _PARCELS):
        shown[row["order_id"]][row["shipment_id"]] += 1
    return _sets(ours, "fulfillment", shown, "orders")


@law("orders", "inventory")
async def shipped_units_left_the_stock(sources: Sources) -> Found:
    """Per order line, what orders calls shipped is what left inventory's stock (S-19)."""
    if not {"orders", "inventory"} <= sources.databases.keys():
        return []
    shown = {(row["order_id"], row["line"]): row["shipped"] for row in await sources.rows("orders", _SHIPPED)}
    left = {(row["order_id"], row["line"]): row["shipped"] for row in await sources.rows("inventory", _LEFT)}
    return [
        (f"{key[0]} line {key[1]}", f"{shown.get(key, 0)} shipped for orders, {left.get(key, 0)} left the stock")
        for key in sorted({*shown, *left})
        if shown.get(key, 0) != left.get(key, 0)
    ]


@law("orders", "inventory", PRINTFUL)
async def provider_sent_what_was_shipped(sources: Sources) -> Found:
    """Per order and variant, the provider sent what the order shows as shipped and as sent again, no more (R-4.2)."""
    if sources.printful is None or not {"orders", "inventory"} <= sources.databases.keys():
        return []
    variants = {row["sku"]: row["variant"] for row in await sources.rows("inventory", _VARIANTS)}
    shown: Counter[tuple[str, str]] = Counter()
    for row in await sources.rows("orders", _SENT):
        shown[row["order_id"], variants.get(row["sku"]) or row["sku"]] += row["units"]
    sent: Counter[tuple[str, str]] = Counter()
    for external_id, ledger in sources.printful.items():
        for variant, units in ledger.units_sent.items():
            sent[PrintfulProvider.order_of(external_id) or external_id, str(variant)] += units
    return [
        (f"{key[0]} variant {key[1]}", f"{sent[key]} units left the provider, {shown[key]} shipped for orders")
        for key in sorted({*shown, *sent})
        if shown[key] != sent[key]
    ]


def _sets(left: dict[str, Counter[str]], left_name: str, right: dict[str, Counter[str]], right_name: str) -> Found:
    for order_id in sorted({*left, *right}):
        one, other = left.get(order_id, Counter()), right.get(order_id, Counter())
        for parcel in sorted({*one, *other}):
            if one[parcel] != other[parcel]:
                yield (
                    f"{order_id} parcel {parcel}",
                    f"{one[parcel]} times for {left_name}, {other[parcel]} for {right_name}",
                )
