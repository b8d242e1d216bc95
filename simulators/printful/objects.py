"""The JSON shapes of Printful's orders, shipments and webhooks, v1 and v2, as its two API documents give them."""

from decimal import Decimal
from typing import Any

from ..shared.clock import iso
from ..shared.ids import number

Object = dict[str, Any]

_UNIT_COST = Decimal("9.50")
_SHIPPING_COST = Decimal("4.99")


def order(
    identifier: int, store: int, external_id: str | None, address: Object, lines: list[Object], retail: Object, now: int
) -> Object:
    """A new draft."""
    return {
        "id": identifier,
        "external_id": external_id,
        "store": store,
        "status": "draft",
        "error": None,
        "shipping": "STANDARD",
        "shipping_service_name": "Flat Rate (3-4 business days after fulfillment)",
        "created": now,
        "updated": now,
        "recipient": address,
        "notes": None,
        "items": [item(line) for line in lines],
        "branding_items": [],
        "incomplete_items": [],
        "costs": costs(lines, retail["currency"]),
        "retail_costs": retail,
        "pricing_breakdown": [],
        "shipments": [],
        "gift": None,
        "packing_slip": None,
        "dashboard_url": f"https://www.printful.com/dashboard?order_id={identifier}",
    }


def item(line: Object) -> Object:
    """One line with Printful's own id and price."""
    return {
        "id": number(),
        "external_id": line["external_id"],
        "variant_id": line["sync_variant_id"] % 100_000,
        "sync_variant_id": line["sync_variant_id"],
        "external_variant_id": None,
        "warehouse_product_variant_id": None,
        "product_template_id": None,
        "external_product_id": None,
        "quantity": line["quantity"],
        "price": f"{_UNIT_COST:.2f}",
        "retail_price": line["retail_price"],
        "name": line["name"] or f"Variant {line['sync_variant_id']}",
        "product": {},
        "files": [],
        "options": [],
        "sku": line["sku"],
        "discontinued": False,
        "out_of_stock": False,
    }


def costs(lines: list[Object], currency: str) -> Object:
    """What Printful charges the shop."""
    subtotal = _UNIT_COST * sum(line["quantity"] for line in lines)
    nothing = ("discount", "digitization", "additional_fee", "fulfillment_fee", "retail_delivery_fee", "tax", "vat")
    return {
        "currency": currency,
        "subtotal": f"{subtotal:.2f}",
        "shipping": f"{_SHIPPING_COST:.2f}",
        **dict.fromkeys(nothing, "0.00"),
        "total": f"{subtotal + _SHIPPING_COST:.2f}",
    }


def shipment(units: dict[int, int], now: int) -> Object:
    """A parcel that is ready to leave; the fields that only v2 shows begin with an underscore."""
    identifier = number()
    tracking = f"9400{identifier}{identifier % 97:02d}"
    return {
        "id": identifier,
        "carrier": "USPS",
        "service": "USPS Priority Mail",
        "tracking_number": tracking,
        "tracking_url": f"https://tools.usps.com/go/TrackConfirmAction?tLabels={tracking}",
        "created": now,
        "ship_date": None,
        "shipped_at": None,
        "reshipment": False,
        "items": [
            {"item_id": item_id, "quantity": quantity, "picked": 1, "printed": 1} for item_id, quantity in units.items()
        ],
        "_shipment_status": "packaged",
        "_delivery_status": "pre_transit",
        "_delivered_at": None,
    }


def counts(parcel: Object) -> bool:
    """Whether its units are in it: a parcel that was cancelled will not leave."""
    return bool(parcel["_shipment_status"] != "canceled")


def order_v1(row: Object) -> Object:
    """The order as v1 answers and sends it: it lists parcels, and does not say whether they left or arrived."""
    return {**_shown(row), "shipments": [_shown(parcel) for parcel in row["shipments"]]}


def shipment_v2(row: Object, parcel: Object) -> Object:
    """One entry of v2's list of shipments, with delivery."""
    lines = {line["id"]: line for line in row["items"]}
    return {
        "id": parcel["id"],
        "order_id": row["id"],
        "order_external_id": row["external_id"],
        "carrier": parcel["carrier"],
        "service": parcel["service"],
        "shipment_status": parcel["_shipment_status"],
        "shipped_at": iso(parcel["shipped_at"]) if parcel["shipped_at"] else None,
        "delivery_status": parcel["_delivery_status"],
        "delivered_at": iso(parcel["_delivered_at"]) if parcel["_delivered_at"] else None,
        "departure_address": {"country_name": "Latvia", "country_code": "LV", "state_code": None},
        "is_reshipment": parcel["reshipment"],
        "tracking_url": parcel["tracking_url"],
        "tracking_events": [],
        "estimated_delivery": None,
        "shipment_items": [
            {
                "id": parcel["id"] + place,
                "order_item_id": entry["item_id"],
                "order_item_external_id": lines[entry["item_id"]]["external_id"],
                "order_item_name": lines[entry["item_id"]]["name"],
                "quantity": entry["quantity"],
            }
            for place, entry in enumerate(parcel["items"])
        ],
    }


def webhook_v1(row: Object, now: int, parcel: Object | None, reason: str | None) -> Object:
    """A v1 body, but for `type` and `retries`."""
    data: Object = {} if reason is None else {"reason": reason}
    if parcel is not None:
        data["shipment"] = _shown(parcel)
    return {"type": "", "created": now, "retries": 0, "store": row["store"], "data": {**data, "order": order_v1(row)}}


def webhook_v2(row: Object, now: int, parcel: Object | None, reason: str | None) -> Object:
    """A v2 body, but for `type` and `retries`."""
    data: Object = {} if reason is None else {"reason": reason}
    if parcel is not None:
        status = parcel["_delivery_status"] if parcel["_delivery_status"] == "delivered" else parcel["_shipment_status"]
        data["shipment"] = {
            "id": parcel["id"],
            "status": status,
            "store_id": row["store"],
            "tracking_number": parcel["tracking_number"],
            "tracking_url": parcel["tracking_url"],
            "created_at": iso(parcel["created"]),
            "ship_date": parcel["ship_date"],
            "shipped_at": iso(parcel["shipped_at"]),
            "reshipment": parcel["reshipment"],
        }
    data["order"] = {
        "id": row["id"],
        "external_id": row["external_id"],
        "status": row["status"],
        "store_id": row["store"],
        "dashboard_url": row["dashboard_url"],
        "created_at": iso(row["created"]),
        "updated_at": iso(row["updated"]),
    }
    return {"type": "", "occurred_at": iso(now), "retries": 0, "store_id": row["store"], "data": data}


def _shown(row: Object) -> Object:
    return {key: value for key, value in row.items() if not key.startswith("_")}
