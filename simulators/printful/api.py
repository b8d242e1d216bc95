"""Printful's HTTP door: token, store, rate limit, faults; there is no idempotency header to rely on (F-17)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..shared.faults import TRANSPORT, ApiFault
from ..shared.hangup import NoAnswer
from ..shared.limits import RateLimit
from . import errors, fields
from .objects import Object, order_v1, shipment_v2
from .store import Store

_KINDS = TRANSPORT | {"fall_back"}
_LARGEST_PAGE = 100


@dataclass(frozen=True)
class _Call:
    """One request, decoded; `reference` is the path's id or `@external_id`."""

    store: Store
    reference: str
    query: dict[str, str]
    body: Object
    fault: ApiFault | None

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def page(self) -> tuple[int, int]:
        """`offset` and `limit` (at most 100)."""
        try:
            offset, limit = (int(self.query.get("offset", 0)), int(self.query.get("limit", 20)))
        except ValueError:
            raise errors.bad_request("offset and limit must be whole numbers") from None
        return max(0, offset), min(max(1, limit), _LARGEST_PAGE)


class PrintfulApi:
    """The routes of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.limit = RateLimit(store.clock, store.settings.printful_calls_per_minute, 60.0)

    def routes(self) -> list[BaseRoute]:
        """v1's orders and v2's list of shipments, which alone knows of delivery."""
        table: list[tuple[str, str, str, Callable[[_Call], Object]]] = [
            ("orders.create", "POST", "/orders", _create),
            ("orders.list", "GET", "/orders", _list),
            ("orders.get", "GET", "/orders/{ref}", lambda c: _one(c.store.find(c.reference))),
            ("orders.update", "PUT", "/orders/{ref}", _update),
            ("orders.cancel", "DELETE", "/orders/{ref}", lambda c: _one(c.store.cancel(c.store.find(c.reference)))),
            ("orders.confirm", "POST", "/orders/{ref}/confirm", lambda c: _one(_confirm(c, c.store.find(c.reference)))),
            ("shipments.list", "GET", "/v2/orders/{ref}/shipments", _shipments),
        ]
        found: list[BaseRoute] = [
            Route(path, partial(self._serve, name, run), methods=[verb], name=f"printful.{name}")
            for name, verb, path, run in table
        ]
        verbs = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return [*found, Route("/{rest:path}", self._unknown, methods=verbs)]

    async def _serve(self, operation: str, run: Callable[[_Call], Object], request: Request) -> Response:
        self._store.agenda.run_due()
        try:
            self._authorize(request)
            reference = request.path_params.get("ref", "")
            body = _decode(await request.body()) if request.method in ("POST", "PUT") else {}
            name = self._external_id(reference, body)
            fault = self._store.faults.take_api("printful", operation, name, _KINDS)
            kind = fault.kind if fault is not None else None
            if fault is not None and kind == "timeout_before":
                return NoAnswer(close=fault.answer == "close")
            if kind == "rate_limit" or not self.limit.admit():
                raise errors.too_many_requests(self.limit.retry_after())
            if kind == "error_before":
                raise errors.internal_error()
            answer = JSONResponse(run(_Call(self._store, reference, dict(request.query_params), body, fault)))
            return answer if fault is None else await _spoiled(fault, answer)
        except errors.PrintfulError as failure:
            headers = {"Retry-After": str(self.limit.retry_after())} if failure.status == 429 else None
            return JSONResponse(failure.body, failure.status, headers)

    async def _unknown(self, request: Request) -> Response:
        failure = errors.not_found()
        return JSONResponse(failure.body, failure.status)

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.unauthorized("Malformed Authorization header.")
        if token.strip() != self._store.settings.printful_token:
            raise errors.unauthorized("The access token provided is invalid.")
        store = request.headers.get("x-pf-store-id")
        if store is not None and store != str(self._store.settings.printful_store_id):
            raise errors.wrong_store(store)

    def _external_id(self, reference: str, body: Object) -> str | None:
        """What faults are matched by."""
        if reference.startswith("@"):
            return reference[1:]
        row = self._store.orders.get(int(reference)) if reference.isdecimal() else None
        name = row["external_id"] if row is not None else body.get("external_id")
        return name if isinstance(name, str) else None


async def _spoiled(fault: ApiFault, answer: Response) -> Response:
    """What becomes of an answer whose work is done."""
    if fault.kind == "error_after":
        failure = errors.internal_error()
        return JSONResponse(failure.body, failure.status)
    if fault.kind == "slow" or (fault.kind == "timeout_after" and fault.answer == "late"):
        await asyncio.sleep(fault.delay_seconds)
        return answer
    if fault.kind == "timeout_after":
        return NoAnswer(close=fault.answer == "close")
    return answer


def _decode(raw: bytes) -> Object:
    if not raw:
        return {}
    try:
        body: Any = json.loads(raw)
    except ValueError:
        raise errors.bad_request("Invalid JSON") from None
    if not isinstance(body, dict):
        raise errors.bad_request("Invalid JSON: an object is expected")
    return body


def _one(row: Object) -> Object:
    return {"code": 200, "result": order_v1(row), "extra": []}


def _create(call: _Call) -> Object:
    """`?confirm=true` submits at once; `?update_existing=true` changes the order that has the external_id."""
    name = fields.external_id(call.body)
    if call.flag("update_existing") and name is not None:
        known = [row for row in call.store.orders.values() if row["external_id"] == name]
        if known:
            call.store.update(known[0], call.body)
            return _one(_confirm(call, known[0]) if call.flag("confirm") else known[0])
    row = call.store.create(call.body)
    return _one(_confirm(call, row) if call.flag("confirm") else row)


def _update(call: _Call) -> Object:
    row = call.store.update(call.store.find(call.reference), call.body)
    return _one(_confirm(call, row) if call.flag("confirm") else row)


def _confirm(call: _Call, row: Object) -> Object:
    return call.store.confirm(row, falls_back=call.fault is not None and call.fault.kind == "fall_back")


def _list(call: _Call) -> Object:
    offset, limit = call.page()
    status = call.query.get("status")
    rows = [row for row in reversed(call.store.orders.values()) if status is None or row["status"] == status]
    paging = {"total": len(rows), "offset": offset, "limit": limit}
    return {
        "code": 200,
        "result": [order_v1(row) for row in rows[offset : offset + limit]],
        "extra": [],
        "paging": paging,
    }


def _shipments(call: _Call) -> Object:
    row = call.store.find(call.reference)
    offset, limit = call.page()
    data = [shipment_v2(row, parcel) for parcel in row["shipments"]]
    paging = {"total": len(data), "offset": offset, "limit": limit}
    return {"data": data[offset : offset + limit], "paging": paging}
