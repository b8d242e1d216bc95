"""The simulated store: orders from draft to parcels, and who may do what in which state (F-17, F-18)."""

import json
import random
from functools import partial
from itertools import count

from ..settings import SimulatorSettings
from ..shared.clock import Agenda, SimulatorClock, iso
from ..shared.faults import FaultBook
from ..shared.ids import number
from ..shared.webhooks import WebhookDesk
from . import fields, objects
from .errors import bad_request, external_id_in_use, no_longer_editable, not_cancelable, not_found
from .ledger import HappeningKind, ParcelBook
from .objects import Object
from .webhooks import Endpoint, Notice

EDITABLE = ("draft", "failed")
CANCELABLE = ("draft", "pending", "failed", "onhold")
CANCELABLE_BY_PRINTFUL = (*CANCELABLE, "inreview", "inprocess", "partial")
AT_WORK = ("pending", "inreview", "inprocess", "partial")


class Store:
    """One Printful store in memory."""

    def __init__(
        self, settings: SimulatorSettings, clock: SimulatorClock, agenda: Agenda, faults: FaultBook, desk: WebhookDesk
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.agenda = agenda
        self.faults = faults
        self.desk = desk
        self.endpoint = Endpoint(
            settings.printful_webhook_url, settings.printful_webhook_secret, settings.printful_webhook_version
        )
        self._numbers = count(number())
        self.reset()

    def reset(self) -> None:
        """Forget every order; the endpoint stays, and numbers are never used twice."""
        self.orders: dict[int, Object] = {}
        self.book = ParcelBook()
        self.notices: dict[str, Notice] = {}
        self._by_external_id: dict[str, int] = {}
        self._rng = random.Random(self.settings.seed)
        self._before_hold: dict[int, str] = {}

    def now(self) -> int:
        """Unix seconds, as v1 stamps everything."""
        return int(self.clock.now())

    def find(self, reference: str) -> Object:
        """By Printful's id, or by `@external_id` (F-17); else 404."""
        if reference.startswith("@"):
            identifier = self._by_external_id.get(reference[1:])
        else:
            identifier = int(reference) if reference.isdecimal() else None
        row = self.orders.get(identifier) if identifier is not None else None
        if row is None:
            raise not_found()
        return row

    def of_external_id(self, external_id: str) -> list[Object]:
        """The order of an external id, if there is one; `#123` is the order 123 that has none."""
        identifier = self._by_external_id.get(external_id)
        if identifier is None and external_id.startswith("#") and external_id[1:].isdecimal():
            identifier = int(external_id[1:])
        return [self.orders[identifier]] if identifier in self.orders else []

    def external_ids(self) -> list[str]:
        """Every external id in use."""
        return list(self._by_external_id)

    def by_any_name(self, name: str) -> Object:
        """By external id, or else by Printful's id."""
        found = self.of_external_id(name)
        return found[0] if found else self.find(name)

    def create(self, body: Object) -> Object:
        """A draft: nothing is charged yet (F-18); a used external_id is OR-13 (F-17)."""
        external_id = fields.external_id(body)
        address, lines = fields.recipient(body), fields.items(body)
        retail = fields.retail_costs(body, lines)
        if external_id is not None and external_id in self._by_external_id:
            raise external_id_in_use(external_id)
        identifier = next(self._numbers)
        row = objects.order(
            identifier, self.settings.printful_store_id, external_id, address, lines, retail, self.now()
        )
        row["shipping"] = body.get("shipping") or "STANDARD"
        self.orders[identifier] = row
        if external_id is not None:
            self._by_external_id[external_id] = identifier
        self._note(row, "created")
        self.announce("order_created", row)
        return row

    def update(self, row: Object, body: Object) -> Object:
        """Change a draft or failed order; only what is sent changes."""
        if row["status"] not in EDITABLE:
            raise no_longer_editable()
        lines = fields.items(body) if "items" in body else row["items"]
        retail = fields.retail_costs(body, lines) if "retail_costs" in body else row["retail_costs"]
        address = fields.recipient(body) if "recipient" in body else row["recipient"]
        if "items" in body:
            row["items"] = [objects.item(line) for line in lines]
            row["costs"] = objects.costs(lines, retail["currency"])
        row.update(recipient=address, retail_costs=retail)
        self._touch(row, "order_updated")
        return row

    def confirm(self, row: Object, falls_back: bool = False) -> Object:
        """Submit for fulfilment; the shop is charged, unless costing sends the order back to draft (F-18)."""
        if row["status"] not in EDITABLE:
            raise bad_request(f"Order is already submitted for fulfillment, its status is {row['status']}")
        row["status"] = "pending"
        if falls_back:
            self._touch(row, "order_updated")
            self.agenda.after(0.0, partial(self.fall_back, row))
            return row
        self._charge(row, "charged")
        self._touch(row, "order_updated")
        if self.settings.auto:
            self.agenda.after(self.settings.auto_ship_seconds, partial(self._work, row))
        return row

    def fall_back(self, row: Object) -> Object:
        """Costing found something: the order is a draft again and what was charged is returned (F-18)."""
        self._expect(row, ("pending",))
        row["status"] = "draft"
        self._return_charge(row)
        self._touch(row, "order_updated")
        return row

    def cancel(self, row: Object, reason: str = "Canceled by the store", *, by_printful: bool = False) -> Object:
        """End an order that has not gone into production; the charge returns (F-18); Printful may do more."""
        if row["status"] not in (CANCELABLE_BY_PRINTFUL if by_printful else CANCELABLE):
            raise not_cancelable(row["status"])
        self._return_charge(row)
        row["status"] = "canceled"
        self._touch(row, "order_canceled", reason=reason)
        return row

    def start(self, row: Object) -> Object:
        """Production begins: from here on the shop cannot cancel."""
        self._expect(row, ("pending", "inreview"))
        row["status"] = "inprocess"
        self._touch(row, "order_updated")
        return row

    def hold(self, row: Object, reason: str) -> Object:
        """Printful needs an answer before it goes on."""
        self._expect(row, AT_WORK)
        self._before_hold[row["id"]] = row["status"]
        row["status"] = "onhold"
        self._touch(row, "order_put_hold", reason=reason)
        return row

    def release(self, row: Object) -> Object:
        """The hold ends; the order goes on where it was."""
        self._expect(row, ("onhold",))
        row["status"] = self._before_hold.pop(row["id"], "pending")
        self._touch(row, "order_remove_hold", reason="The issue is resolved")
        return row

    def fail(self, row: Object, reason: str) -> Object:
        """Printful gives the order up; the charge is returned, and it can be edited and confirmed anew."""
        self._expect(row, (*AT_WORK, "onhold"))
        self._return_charge(row)
        row.update(status="failed", error=reason)
        self._touch(row, "order_failed", reason=reason)
        return row

    def ship(self, row: Object, units: dict[int, int] | None = None) -> Object:
        """A parcel leaves with `units` (by item id), or with all that is left; returns the shipment."""
        return self.mark(row, self._packed(row, units), "shipped", "in_transit")

    def pack(self, row: Object, units: dict[int, int] | None = None) -> Object:
        """A parcel is made ready and does not leave yet: v1 and v2 show it already."""
        parcel = self._packed(row, units)
        self._touch(row, "order_updated")
        return parcel

    def mark(self, row: Object, parcel: Object, shipment_status: str, delivery_status: str) -> Object:
        """What becomes of a parcel in v2's words, whatever they are; with the first `shipped` it leaves."""
        parcel.update(_shipment_status=shipment_status, _delivery_status=delivery_status)
        if shipment_status != "shipped" or parcel["shipped_at"] is not None:
            self._touch(row, "order_updated")
            return parcel
        parcel.update(shipped_at=self.now(), ship_date=iso(self.now())[:10])
        whole = not self.left(row) and all(each["shipped_at"] for each in row["shipments"] if objects.counts(each))
        row["status"] = "fulfilled" if whole else "partial"
        variants = {line["id"]: line["sync_variant_id"] for line in row["items"]}
        sent: dict[int, int] = {}
        for entry in parcel["items"]:
            variant = variants[entry["item_id"]]
            sent[variant] = sent.get(variant, 0) + entry["quantity"]
        self._note(row, "parcel_sent", shipment=parcel["id"], units=sent)
        self._touch(row, "shipment_sent", parcel)
        return parcel

    def _packed(self, row: Object, units: dict[int, int] | None) -> Object:
        self._expect(row, AT_WORK)
        left = self.left(row)
        packed = left if units is None else units
        wrong = [item_id for item_id, quantity in packed.items() if not 1 <= quantity <= left.get(item_id, 0)]
        if wrong or not packed:
            raise bad_request(f"These items cannot be shipped in that quantity: {wrong or 'none left'}")
        parcel = objects.shipment(packed, self.now())
        row["shipments"].append(parcel)
        return parcel

    def deliver(self, row: Object, parcel: Object) -> Object:
        """The courier hands the parcel over."""
        if parcel["_delivery_status"] != "in_transit":
            raise bad_request(f"This parcel is {parcel['_delivery_status']}")
        parcel.update(_delivery_status="delivered", _delivered_at=self.now())
        self._note(row, "parcel_delivered", shipment=parcel["id"])
        self._touch(row, "shipment_delivered", parcel)
        return parcel

    def send_back(self, row: Object, parcel: Object, reason: str) -> Object:
        """The parcel returns to Printful."""
        if parcel["_shipment_status"] == "returned":
            raise bad_request("This parcel is already returned")
        parcel.update(_shipment_status="returned", _delivery_status="return_to_sender")
        self._note(row, "parcel_returned", shipment=parcel["id"])
        self._touch(row, "shipment_returned", parcel, reason)
        return parcel

    def left(self, row: Object) -> dict[int, int]:
        """Units not yet in a parcel, by item id; those of a parcel that was cancelled are packed anew."""
        left = {line["id"]: line["quantity"] for line in row["items"]}
        for parcel in filter(objects.counts, row["shipments"]):
            for entry in parcel["items"]:
                left[entry["item_id"]] -= entry["quantity"]
        return {item_id: quantity for item_id, quantity in left.items() if quantity}

    def announce(self, kind: str, row: Object, parcel: Object | None = None, reason: str | None = None) -> None:
        """Freeze both versions of an event and hand it to the desk."""
        bodies = json.loads(json.dumps([make(row, self.now(), parcel, reason) for make in _WRITERS]))
        notice = Notice(len(self.notices) + 1, kind, row["external_id"], (bodies[0], bodies[1]), self.endpoint)
        self.notices[notice.event_id] = notice
        if self.endpoint.url:
            self.desk.submit(notice)

    def _work(self, row: Object) -> None:
        """The automatic mode: production, some parcels, delivery; whatever else happened meanwhile wins."""
        self.start(row)
        units = [item_id for item_id, quantity in self.left(row).items() for _ in range(quantity)]
        parcels = self._rng.randint(1, min(self.settings.auto_max_parcels, len(units)))
        for place in range(parcels):
            packed: dict[int, int] = {}
            for item_id in units[place::parcels]:
                packed[item_id] = packed.get(item_id, 0) + 1
            self.agenda.after(place * self.settings.auto_ship_seconds, partial(self._ship_later, row, packed))

    def _ship_later(self, row: Object, packed: dict[int, int]) -> None:
        parcel = self.ship(row, packed)
        self.agenda.after(self.settings.auto_deliver_seconds, partial(self.deliver, row, parcel))

    def _touch(self, row: Object, kind: str, parcel: Object | None = None, reason: str | None = None) -> None:
        row["updated"] = self.now()
        self.announce(kind, row, parcel, reason)

    def _charge(self, row: Object, kind: HappeningKind) -> None:
        row["_charged"] = kind == "charged"
        self._note(row, kind, amount=row["costs"]["total"], currency=row["costs"]["currency"])

    def _return_charge(self, row: Object) -> None:
        if row.get("_charged") and not row["shipments"]:
            self._charge(row, "charge_returned")

    def _note(self, row: Object, kind: HappeningKind, **details: object) -> None:
        name = row["external_id"] or f"#{row['id']}"
        self.book.record(self.clock.now(), kind, name, row["id"], **details)

    def _expect(self, row: Object, states: tuple[str, ...]) -> None:
        if row["status"] not in states:
            raise bad_request(f"The order is {row['status']}, not one of {', '.join(states)}")


_WRITERS = (objects.webhook_v1, objects.webhook_v2)
