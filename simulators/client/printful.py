"""Warehouse and courier at Printful, for tests that must act as both and then read what truly left."""

from typing import Any

from pydantic import TypeAdapter

from .. import views
from .http import ControlHttp

_PARCEL_LEDGERS = TypeAdapter(dict[str, views.ParcelLedger])
_PARCELS = TypeAdapter(list[views.ParcelView])


class PrintfulControl:
    """Warehouse and courier at Printful, and its ledger; an order is named by external id or Printful's own id."""

    def __init__(self, http: ControlHttp) -> None:
        self._http = http

    async def ship(self, external_id: str, items: dict[int, int] | None = None) -> views.ParcelView:
        """One parcel leaves: with `items` (item id to quantity), or all that is left."""
        return await self._http.act(views.ParcelView, f"/printful/orders/{external_id}/ship", items=items)

    async def pack(self, external_id: str, items: dict[int, int] | None = None) -> views.ParcelView:
        """One parcel is made ready with `items`, or all that is left; it does not leave yet."""
        return await self._http.act(views.ParcelView, f"/printful/orders/{external_id}/pack", items=items)

    async def mark(
        self, external_id: str, shipment_status: str, delivery_status: str = "unknown", shipment_id: int | None = None
    ) -> list[views.ParcelView]:
        """What becomes of one parcel or all, in v2's words or in any other; with the first `shipped` it leaves."""
        body: dict[str, Any] = {"shipment_status": shipment_status, "delivery_status": delivery_status}
        if shipment_id is not None:
            body["shipment_id"] = shipment_id
        return _PARCELS.validate_python(await self._http.post(f"/printful/orders/{external_id}/mark", body))

    async def deliver(self, external_id: str, shipment_id: int | None = None) -> list[views.ParcelView]:
        """Parcels on their way arrive: one, or all."""
        body = {} if shipment_id is None else {"shipment_id": shipment_id}
        return _PARCELS.validate_python(await self._http.post(f"/printful/orders/{external_id}/deliver", body))

    async def return_parcel(
        self, external_id: str, shipment_id: int | None = None, reason: str = "Recipient refused the parcel"
    ) -> list[views.ParcelView]:
        """Parcels come back: one, or all."""
        body: dict[str, Any] = {"reason": reason}
        if shipment_id is not None:
            body["shipment_id"] = shipment_id
        return _PARCELS.validate_python(await self._http.post(f"/printful/orders/{external_id}/return", body))

    async def start(self, external_id: str) -> views.PrintfulOrderView:
        """Production begins; the shop can no longer cancel."""
        return await self._act(external_id, "start")

    async def hold(self, external_id: str, reason: str | None = None) -> views.PrintfulOrderView:
        """Printful puts the order on hold."""
        return await self._act(external_id, "hold", reason)

    async def release(self, external_id: str) -> views.PrintfulOrderView:
        """The hold ends."""
        return await self._act(external_id, "release")

    async def fail(self, external_id: str, reason: str | None = None) -> views.PrintfulOrderView:
        """Printful gives the order up."""
        return await self._act(external_id, "fail", reason)

    async def cancel(self, external_id: str, reason: str | None = None) -> views.PrintfulOrderView:
        """Printful cancels the order by itself."""
        return await self._act(external_id, "cancel", reason)

    async def fall_back(self, external_id: str) -> views.PrintfulOrderView:
        """A confirmed order is a draft again."""
        return await self._act(external_id, "fall_back")

    async def ledger(self, external_id: str | None = None) -> views.ParcelLedger:
        """One order's parcels, or everybody's."""
        return views.ParcelLedger.model_validate(await self._http.get("/printful/ledger", external_id=external_id))

    async def ledgers(self) -> dict[str, views.ParcelLedger]:
        """Each external id's parcels."""
        return _PARCEL_LEDGERS.validate_python(await self._http.get("/printful/ledgers"))

    async def _act(self, external_id: str, verb: str, reason: str | None = None) -> views.PrintfulOrderView:
        return await self._http.act(views.PrintfulOrderView, f"/printful/orders/{external_id}/{verb}", reason=reason)
