"""Printful behind the Protocol of `base`: v1 for orders, v2 for what became of parcels.

Why: it knows no idempotency key, so our `external_id` is the only way to find what a lost answer did (F-17).
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from services.chassis.http import Answer, AnswerLost, HttpClient, NeverSent
from services.chassis.money import decimal_text
from services.chassis.operations import Declined, Operation, Retryable, Unknown
from services.fulfillment.domain import Kind, LineQuantity, ObjectSeen, ProviderState, SeenShipment, ShipmentState
from services.fulfillment.providers import printful_words
from services.fulfillment.providers.base import GONE, Draft, Hint, Malformed, NotShippable

_PLACES: Final = 20
_PAGE: Final = 100
_MINUTE: Final = timedelta(minutes=1)  # in which its limit is restored (F-18)
_JSON: Final = {"Content-Type": "application/json"}


class PrintfulProvider:
    """Printful's API. `timeout` is for one HTTP call."""

    name = "printful"
    variant_key = "printful_variant_id"
    max_in_flight = _PLACES

    def __init__(self, token: str, *, store_id: str, api_base: str, timeout: timedelta) -> None:
        self._base_url = api_base.rstrip("/") + "/"
        store = {"X-PF-Store-Id": store_id} if store_id else {}
        self._http = HttpClient(timeout, {"Authorization": f"Bearer {token}", **store})

    def read_hint(self, body: bytes) -> Hint:
        """A webhook of v1 or v2; `retries` changes with each delivery and is left out of its hash (F-19)."""
        try:
            webhook = json.loads(body)
            order = webhook["data"]["order"]
            object_id, external_id = str(order["id"]), str(order.get("external_id") or "")
            kind = str(webhook["type"])
            _storable(f"{kind}{object_id}{external_id}")
            content = {key: value for key, value in webhook.items() if key != "retries"}
            digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Malformed(type(error).__name__) from error
        return Hint(kind, object_id, external_id, digest.digest())

    @staticmethod
    def external_id(order_id: str, reference: int) -> str:
        """26 characters of the order id in base32 and the number: at most 32 of `[A-Za-z0-9_-]` (F-17)."""
        name = base64.b32encode(uuid.UUID(order_id).bytes).decode().rstrip("=")
        return f"{name}-{reference}"

    @staticmethod
    def order_of(external_id: str) -> str | None:
        """The order id in one of our names."""
        name, dash, number = external_id.rpartition("-")
        try:
            raw = base64.b32decode(name + "=" * (-len(name) % 8))
            return str(uuid.UUID(bytes=raw)) if dash and number.isdigit() else None
        except ValueError:
            return None

    def create_parameters(self, draft: Draft) -> dict[str, Any]:
        """A draft order; each item carries our line, so that parcels can be read back."""
        for item in draft.items:
            if not (item.variant_id.isascii() and item.variant_id.isdigit()):
                raise NotShippable(f"line {item.line}: {item.variant_id!r} is not a variant id of Printful")
        to = draft.recipient
        return {
            "external_id": self.external_id(draft.order_id, draft.reference),
            "recipient": {
                "name": to.name,
                "address1": to.line1,
                "address2": to.line2,
                "city": to.city,
                "state_code": to.region,
                "country_code": to.country_code,
                "zip": to.postal_code,
                "phone": to.phone,
                "email": to.email,
            },
            "items": [
                {
                    "external_id": str(item.line),
                    "sync_variant_id": int(item.variant_id),
                    "quantity": item.quantity,
                    "retail_price": decimal_text(item.unit_price_minor, draft.currency),
                    "name": item.name,
                    "sku": item.sku,
                }
                for item in draft.items
            ],
            "retail_costs": {
                "currency": draft.currency,
                "subtotal": decimal_text(draft.subtotal_minor, draft.currency),
                "shipping": decimal_text(draft.shipping_minor, draft.currency),
                "total": decimal_text(draft.total_minor, draft.currency),
            },
        }

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Create a draft, confirm it, or cancel it; the answer is the object with its parcels."""
        stored = operation.parameters
        match Kind(operation.kind):
            case Kind.CREATE:
                answer = await self._call("POST", "orders", json_body=stored["order"])
            case Kind.CONFIRM:
                answer = await self._of_object("POST", f"orders/@{stored['external_id']}/confirm")
            case Kind.CANCEL:
                answer = await self._of_object("DELETE", f"orders/@{stored['external_id']}")
        return await self._with_parcels(answer["result"])

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """By our `external_id`; a confirm or cancel is done when the object's state says so."""
        found = await self.fetch(operation.parameters["external_id"])
        if found is None:
            return None
        state = printful_words.order_state(found)
        kind = Kind(operation.kind)
        if kind is Kind.CREATE:
            return found
        if kind is Kind.CONFIRM:
            return None if state in (ProviderState.DRAFT, ProviderState.FAILED) else found
        return found if state in (ProviderState.CANCELED, ProviderState.FULFILLED) else None

    async def fetch(self, external_id: str) -> dict[str, Any] | None:
        """The order with its parcels as it is now; None if Printful does not know it."""
        try:
            answer = await self._call("GET", f"orders/@{external_id}")
        except Declined as refusal:
            if refusal.code == "404":
                return None
            raise Unknown(str(refusal)) from refusal
        try:
            return await self._with_parcels(answer["result"], executed=False)
        except Declined as refusal:
            raise Unknown(str(refusal)) from refusal

    def read_object(self, answer: Mapping[str, Any], at: datetime) -> ObjectSeen:
        """The sight that an answer of `send`, `look_up` or `fetch` shows, with the parcels that left."""
        # Somebody may have added items at Printful by hand: they are no lines of ours.
        ours = [item for item in answer["items"] if str(item["external_id"]).isdecimal()]
        lines = {item["id"]: (int(item["external_id"]), str(item["sku"])) for item in ours}
        parcels = [_shipment(parcel, state, lines, at) for parcel in answer["parcels"] if (state := _state(parcel))]
        return ObjectSeen(
            object_id=str(answer["id"]),
            number=int(str(answer["external_id"]).rsplit("-", 1)[1]),
            state=printful_words.order_state(answer),
            shipments=tuple(parcel for parcel in parcels if parcel.lines),
            reason=_text(answer.get("error")),
        )

    def unknown_words(self, answer: Mapping[str, Any]) -> tuple[str, ...]:
        """Words in an answer that we do not know."""
        return printful_words.unknown_words(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _with_parcels(self, order: dict[str, Any], *, executed: bool = True) -> dict[str, Any]:
        """What we keep of an order: no address, and the parcels; only v2 tells of their delivery."""
        parcels: list[dict[str, Any]] = []
        if order.get("shipments"):
            answer = await self._call("GET", f"v2/orders/{order['id']}/shipments?limit={_PAGE}", executed=executed)
            numbers = {parcel["id"]: parcel.get("tracking_number") for parcel in order["shipments"]}
            parcels = [{**parcel, "tracking_number": numbers.get(parcel["id"])} for parcel in answer["data"]]
        kept = {key: order.get(key) for key in ("id", "external_id", "status", "error", "updated")}
        items = [{key: item.get(key) for key in ("id", "external_id", "sku", "quantity")} for item in order["items"]]
        return {**kept, "items": items, "parcels": parcels}

    async def _of_object(self, method: str, path: str) -> dict[str, Any]:
        """Ask something of an object; that there is none is no refusal to do it."""
        try:
            return await self._call(method, path)
        except Declined as refusal:
            raise (Declined(GONE, str(refusal)) if refusal.code == "404" else refusal) from refusal

    async def _call(self, method: str, path: str, *, json_body: Any = None, executed: bool = False) -> dict[str, Any]:
        """`executed`: a call before this one had its effect, so what this one meets says nothing about that."""
        body = json.dumps(json_body, ensure_ascii=False).encode() if json_body is not None else None
        try:
            answer = await self._http.request(method, self._base_url + path, headers=_JSON if body else None, body=body)
        except NeverSent as error:
            raise (Unknown(str(error)) if executed else Retryable(str(error))) from error
        except AnswerLost as error:
            raise Unknown(str(error)) from error
        return _read(answer, executed=executed)


def _read(answer: Answer, *, executed: bool) -> dict[str, Any]:
    """The answer's JSON, or the error that it stands for. `executed`: a call before this one had its effect."""
    status = answer.status
    try:
        body = json.loads(answer.body)
    except ValueError as error:
        if status != 429:  # that may be a door-keeper's
            raise Unknown(f"{status}: no JSON") from error
        body = None
    if status < 300 and isinstance(body, dict):
        return body
    text = f"{status}: {_message(body)}"
    if executed or status >= 500 or status in (408, 409) or status < 400:
        raise Unknown(text)
    if status == 429:
        seconds = answer.headers.get("Retry-After", "")
        raise Retryable(text, after=timedelta(seconds=min(int(seconds), 3600)) if seconds.isdigit() else _MINUTE)
    if status in (401, 403):
        raise Retryable(text)  # the token is wrong or lacks a right: mended by a person, then sent
    if "OR-13" in text:
        raise Unknown(text)  # our external_id is taken (F-17): an earlier try arrived, the look-up finds it
    raise Declined(str(status), text)


def _message(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message", "")) if isinstance(error, dict) else ""


def _text(value: Any) -> str:
    """What Printful says in words, as PostgreSQL can hold it (F-32)."""
    return str(value or "").replace("\0", "")


def _storable(text: str) -> None:
    """Raises ValueError for what PostgreSQL's text cannot hold: NUL, and halves of surrogate pairs (F-32)."""
    if "\0" in text:
        raise ValueError("NUL")
    text.encode()


def _state(parcel: Mapping[str, Any]) -> ShipmentState | None:
    """What became of a parcel; one that was called off matters where it was told of."""
    return ShipmentState.FAILED if printful_words.is_canceled(parcel) else printful_words.parcel_state(parcel)


def _shipment(
    parcel: Mapping[str, Any], state: ShipmentState, lines: Mapping[int, tuple[int, str]], at: datetime
) -> SeenShipment:
    units = tuple(
        LineQuantity(*lines[item["order_item_id"]], int(item["quantity"]))
        for item in parcel["shipment_items"]
        if item["order_item_id"] in lines
    )
    sent_at, canceled = parcel.get("shipped_at"), printful_words.is_canceled(parcel)
    word = "shipment canceled" if canceled else _text(parcel.get("delivery_status"))
    return SeenShipment(
        provider_id=str(parcel["id"]),
        state=state,
        lines=units,
        carrier=_text(parcel.get("carrier")),
        tracking_number=_text(parcel.get("tracking_number")),
        tracking_url=_text(parcel.get("tracking_url")),
        sent_at=datetime.fromisoformat(sent_at) if sent_at else at,
        reason=word if state is ShipmentState.FAILED else "",
        resent=parcel.get("is_reshipment") is True,
        canceled=canceled,
    )
