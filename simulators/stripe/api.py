"""Stripe's HTTP door: key, rate limit, idempotency, faults, in the real one's order (F-9, F-10)."""

import asyncio
import base64
import json
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..shared.faults import TRANSPORT, ApiFault
from ..shared.hangup import NoAnswer
from ..shared.ids import token
from ..shared.limits import RateLimit
from . import lists
from .account import Account
from .checkout import Checkout
from .errors import StripeError, forbidden, internal_error, no_such_url, rate_limited, unauthorized
from .forms import Params, decode
from .idempotency import IdempotencyKeys, Record
from .objects import API_VERSION, Object
from .operations import OPERATIONS, Call, Operation

_BEFORE = frozenset({"rate_limit", "timeout_before"})
_INSIDE = frozenset({"error_before", "error_after", "slow"})
_AFTER = frozenset({"timeout_after"})
assert _BEFORE | _INSIDE | _AFTER == TRANSPORT


class StripeApi:
    """The routes of one account."""

    def __init__(self, account: Account, checkout: Checkout) -> None:
        self._account = account
        self._checkout = checkout
        self.keys = IdempotencyKeys(account.clock)
        self.limit = RateLimit(account.clock, account.settings.stripe_calls_per_second, 1.0)

    def routes(self) -> list[BaseRoute]:
        """One route per operation, and Stripe's own 404 for the rest."""
        found: list[BaseRoute] = [
            Route(op.path, partial(self._serve, op), methods=[op.verb], name=op.name) for op in OPERATIONS
        ]
        verbs = ["GET", "POST", "DELETE", "PUT", "PATCH"]
        return [*found, Route("/v1/{rest:path}", self._unknown, methods=verbs)]

    async def _serve(self, operation: Operation, request: Request) -> Response:
        request_id = "req_" + token(14)
        self._account.agenda.run_due()
        try:
            body = await request.body() if operation.verb == "POST" else b""
            raw = body.decode() if operation.verb == "POST" else request.url.query
            public = self._authorize(request, operation)
            call = self._call(operation, request, Params(decode(raw)))
            if public and call.params.text("client_secret") is None:
                raise forbidden("This API call needs a client_secret when made with a publishable API key.")
            return await self._admitted(operation, request, call, raw, request_id)
        except UnicodeDecodeError:
            failure = StripeError(400, "invalid_request_error", "Invalid request: not UTF-8.", kept=False)
            return _answer(failure.status, failure.body, request_id, {})
        except StripeError as failure:
            return _answer(failure.status, failure.body, request_id, {})

    async def _unknown(self, request: Request) -> Response:
        failure = no_such_url(request.method, request.url.path)
        return _answer(failure.status, failure.body, "req_" + token(14), {})

    async def _admitted(
        self, operation: Operation, request: Request, call: Call, raw: str, request_id: str
    ) -> Response:
        order_id = call.order_id() if self._account.faults.api else None
        fault = self._take(operation, order_id, _BEFORE)
        if fault is not None and fault.kind == "timeout_before":
            return await self._lost(fault, None)
        if fault is not None or not self.limit.admit():
            raise rate_limited()
        key = request.headers.get("idempotency-key") if operation.verb == "POST" else None
        if not key:
            status, body = await self._execute(operation, call, order_id, request_id, None)
            return await self._sent(operation, order_id, _raw(status, body, request_id, {}))
        path = operation.path.replace("{id}", call.id)
        record = self.keys.begin(key, path, raw)
        headers = {"Idempotency-Key": key}
        if record.answer is not None:
            status, body, original = record.answer
            headers |= {"Idempotent-Replayed": "true", "Original-Request": original}
            return await self._sent(operation, order_id, _raw(status, body, request_id, headers))
        status, body = await self._filled(record, key, operation, call, order_id, request_id)
        return await self._sent(operation, order_id, _raw(status, body, request_id, headers))

    async def _filled(
        self, record: Record, key: str, operation: Operation, call: Call, order_id: str | None, request_id: str
    ) -> tuple[int, bytes]:
        """Execute for a fresh key; a client that hangs up meanwhile neither stops it nor frees the key."""
        work = asyncio.ensure_future(self._execute(operation, call, order_id, request_id, key))

        def remember(done: asyncio.Future[tuple[int, bytes]]) -> None:
            if done.cancelled() or done.exception() is not None:
                self.keys.forget(key)
            else:
                record.answer = (*done.result(), request_id)

        work.add_done_callback(remember)
        return await asyncio.shield(work)

    async def _execute(
        self, operation: Operation, call: Call, order_id: str | None, request_id: str, key: str | None
    ) -> tuple[int, bytes]:
        """Run the operation; a failure that a key must remember is a normal answer here, others are raised."""
        fault = self._take(operation, order_id, _INSIDE)
        if fault is not None and fault.kind == "error_before":
            return 500, _encode(internal_error().body)
        account = self._account
        account.request = {"id": request_id, "idempotency_key": key}
        try:
            row = operation.run(call)
            status, body = 200, _encode(lists.expand(account, row, call.params))
        except StripeError as failure:
            if not failure.kept:
                raise
            status, body = failure.status, _encode(failure.body)
        finally:
            account.request = {"id": None, "idempotency_key": None}
        if fault is not None and fault.kind == "error_after":
            return 500, _encode(internal_error().body)
        if fault is not None:
            await asyncio.sleep(fault.delay_seconds)
        return status, body

    async def _sent(self, operation: Operation, order_id: str | None, answer: Response) -> Response:
        fault = self._take(operation, order_id, _AFTER)
        return answer if fault is None else await self._lost(fault, answer)

    async def _lost(self, fault: ApiFault, answer: Response | None) -> Response:
        if fault.answer == "late" and answer is not None:
            await asyncio.sleep(fault.delay_seconds)
            return answer
        return NoAnswer(close=fault.answer == "close")

    def _take(self, operation: Operation, order_id: str | None, kinds: frozenset[str]) -> ApiFault | None:
        return self._account.faults.take_api("stripe", operation.name, order_id, kinds)

    def _call(self, operation: Operation, request: Request, params: Params) -> Call:
        settings = self._account.settings
        origin = settings.public_url.rstrip("/") or str(request.base_url).rstrip("/").removesuffix("/stripe")
        return Call(self._account, self._checkout, params, request.path_params.get("id", ""), origin + "/stripe")

    def _authorize(self, request: Request, operation: Operation) -> bool:
        """Whether the key is the publishable one; raises 401 or 403."""
        given = _key(request.headers.get("authorization", ""))
        settings = self._account.settings
        if not given:
            raise unauthorized("You did not provide an API key. You need to provide your API key as a bearer token.")
        if given == settings.stripe_key:
            return False
        if given != settings.stripe_publishable_key:
            raise unauthorized(f"Invalid API Key provided: {given[:8]}{'*' * max(0, len(given) - 12)}{given[-4:]}")
        if not operation.public:
            raise forbidden("This API call cannot be made with a publishable API key.")
        return True


def _key(header: str) -> str:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return ""


def _encode(body: Object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _answer(status: int, body: dict[str, Any], request_id: str, headers: dict[str, str]) -> Response:
    return _raw(status, _encode(body), request_id, headers)


def _raw(status: int, body: bytes, request_id: str, headers: dict[str, str]) -> Response:
    fixed = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    return Response(body, status, {**fixed, **headers}, "application/json")
