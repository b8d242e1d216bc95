"""Control of Printful: what the warehouse and the courier do, and what the ledger says."""

from collections.abc import Callable
from typing import Any

from .. import views
from ..printful.errors import bad_request
from ..printful.ledger import summary
from ..printful.objects import Object
from ..printful.store import Store
from ..world import World

Words = dict[str, str]
Body = dict[str, Any]


def order_view(row: Object) -> views.PrintfulOrderView:
    """An order as control shows it."""
    return views.PrintfulOrderView(
        id=row["id"],
        external_id=row["external_id"],
        status=row["status"],
        items={line["id"]: (line["sync_variant_id"], line["quantity"]) for line in row["items"]},
        parcels=[parcel_view(parcel) for parcel in row["shipments"] if parcel["shipped_at"] is not None],
    )


def parcel_view(parcel: Object) -> views.ParcelView:
    """A parcel as control shows it."""
    return views.ParcelView(
        id=parcel["id"],
        status=parcel["_shipment_status"],
        delivery_status=parcel["_delivery_status"],
        carrier=parcel["carrier"],
        tracking_number=parcel["tracking_number"],
        tracking_url=parcel["tracking_url"],
        units={entry["item_id"]: entry["quantity"] for entry in parcel["items"]},
    )


def parcel_ledger(store: Store, external_id: str | None) -> views.ParcelLedger:
    """The truth about one external id's parcels, or about everything."""
    rows = list(store.orders.values())
    lines = store.book.lines
    if external_id is not None:
        rows = store.of_external_id(external_id)
        lines = store.book.of(external_id)
    status = rows[0]["status"] if external_id is not None and rows else None
    orders = [order_view(row) for row in rows]
    return views.ParcelLedger(external_id=external_id, status=status, orders=orders, **summary(lines))


def _ledger(world: World, words: Words, body: Body) -> views.ParcelLedger:
    return parcel_ledger(world.store, words.get("external_id"))


def _ledgers(world: World, words: Words, body: Body) -> dict[str, Any]:
    return {name: parcel_ledger(world.store, name) for name in world.store.external_ids()}


def _order(world: World, words: Words) -> Object:
    """By external id, or by Printful's own."""
    return world.store.by_any_name(words["ref"])


def _parcels(row: Object, body: Body) -> list[Object]:
    wanted = body.get("shipment_id")
    found = [parcel for parcel in row["shipments"] if wanted is None or parcel["id"] == wanted]
    if not found:
        raise bad_request("This order has no such parcel")
    return found


def _units(body: Body) -> dict[int, int] | None:
    items = body.get("items")
    return None if items is None else {int(item_id): int(quantity) for item_id, quantity in items.items()}


def _ship(world: World, words: Words, body: Body) -> views.ParcelView:
    return parcel_view(world.store.ship(_order(world, words), _units(body)))


def _pack(world: World, words: Words, body: Body) -> views.ParcelView:
    return parcel_view(world.store.pack(_order(world, words), _units(body)))


def _mark(world: World, words: Words, body: Body) -> list[Any]:
    row = _order(world, words)
    status = (str(body["shipment_status"]), str(body["delivery_status"]))
    return [parcel_view(world.store.mark(row, parcel, *status)) for parcel in _parcels(row, body)]


def _deliver(world: World, words: Words, body: Body) -> list[Any]:
    row = _order(world, words)
    on_the_way = [parcel for parcel in _parcels(row, body) if parcel["_delivery_status"] == "in_transit"]
    if not on_the_way:
        raise bad_request("No parcel of this order is on its way")
    return [parcel_view(world.store.deliver(row, parcel)) for parcel in on_the_way]


def _return(world: World, words: Words, body: Body) -> list[Any]:
    row = _order(world, words)
    reason = str(body.get("reason") or "Recipient refused the parcel")
    away = [parcel for parcel in _parcels(row, body) if parcel["_shipment_status"] != "returned"]
    return [parcel_view(world.store.send_back(row, parcel, reason)) for parcel in away]


def _start(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    return order_view(world.store.start(_order(world, words)))


def _hold(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    return order_view(world.store.hold(_order(world, words), str(body.get("reason") or "Print file is too small")))


def _release(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    return order_view(world.store.release(_order(world, words)))


def _fail(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    return order_view(world.store.fail(_order(world, words), str(body.get("reason") or "Address is not deliverable")))


def _cancel(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    reason = str(body.get("reason") or "Item is out of stock")
    return order_view(world.store.cancel(_order(world, words), reason, by_printful=True))


def _fall_back(world: World, words: Words, body: Body) -> views.PrintfulOrderView:
    return order_view(world.store.fall_back(_order(world, words)))


TABLE: list[tuple[str, str, Callable[[World, Words, Body], Any]]] = [
    ("GET", "/printful/ledger", _ledger),
    ("GET", "/printful/ledgers", _ledgers),
    ("POST", "/printful/orders/{ref}/ship", _ship),
    ("POST", "/printful/orders/{ref}/pack", _pack),
    ("POST", "/printful/orders/{ref}/mark", _mark),
    ("POST", "/printful/orders/{ref}/deliver", _deliver),
    ("POST", "/printful/orders/{ref}/return", _return),
    ("POST", "/printful/orders/{ref}/start", _start),
    ("POST", "/printful/orders/{ref}/hold", _hold),
    ("POST", "/printful/orders/{ref}/release", _release),
    ("POST", "/printful/orders/{ref}/fail", _fail),
    ("POST", "/printful/orders/{ref}/cancel", _cancel),
    ("POST", "/printful/orders/{ref}/fall_back", _fall_back),
]
