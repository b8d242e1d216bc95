"""Routes of the gateway: raw bytes in, authenticity, hand-over, and 2xx only after the service's commit."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import GatewaySettings
from gateway.ingest import Ingest, ReceivedWebhook, Verdict
from gateway.webhooks import printful, stripe
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.telemetry import counter, get_logger

RETRY_AFTER_SECONDS = 5
SHORTEST_BODY = 2  # bytes; the services refuse a batch in which one is shorter, and no JSON object is

log = get_logger(__name__)
webhooks_total = counter("gateway_webhooks_total", "Webhooks by source and answer", ["source", "answer"])

# What the provider is told. A malformed body is refused like a bad signature, without detail.
ANSWERS = {
    Verdict.TAKEN: HTTPStatus.OK,
    Verdict.MALFORMED: HTTPStatus.BAD_REQUEST,
    Verdict.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the routes need: settings, the two ways to hand over, the clock, and whether the services are there."""

    settings: GatewaySettings
    to_payments: Ingest
    to_fulfillment: Ingest
    clock: Clock
    ready: Callable[[], bool]

    async def stripe(self, request: Request) -> Response:
        """POST /webhooks/stripe: `Stripe-Signature` over the raw body (F-1)."""
        now = self.clock.now().timestamp()
        header = request.headers.get(stripe.SIGNATURE_HEADER)
        secrets = self.settings.stripe_secrets
        return await self._take(
            "stripe", request, self.to_payments, lambda body: stripe.is_authentic(body, header, secrets, now)
        )

    async def printful(self, request: Request) -> Response:
        """POST /webhooks/printful: v2's signature over the raw body (F-19)."""
        secret = self.settings.printful_webhook_secret.get_secret_value()
        header = request.headers.get(printful.SIGNATURE_HEADER)
        return await self._take(
            "printful", request, self.to_fulfillment, lambda body: printful.is_authentic(body, header, secret)
        )

    async def printful_unsigned(self, request: Request) -> Response:
        """POST /webhooks/printful/{secret}: v1 does not sign, the secret in the URL stands in (F-19)."""
        secret = self.settings.printful_path_secret.get_secret_value()
        known = printful.knows_path_secret(request.path_params["secret"], secret)
        return await self._take("printful", request, self.to_fulfillment, lambda _: known)

    async def readiness(self, _: Request) -> Response:
        """GET /readyz: 200 while the services take webhooks, else 503."""
        ready = self.ready()
        return JSONResponse({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _take(
        self, source: str, request: Request, ingest: Ingest, is_authentic: Callable[[bytes], bool]
    ) -> Response:
        body: bytes | None = None
        try:
            async with asyncio.timeout(self.settings.body_ms / 1000) as patience:
                body = await read_body(request, self.settings.max_body_bytes)
                if body is None:
                    return _answer(source, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                if len(body) < SHORTEST_BODY or not is_authentic(body):
                    log.warning("webhook_not_authentic", source=source)
                    return _answer(source, HTTPStatus.BAD_REQUEST)
                # Our answer comes before the provider stops waiting (F-14), however many wait before this one.
                patience.reschedule(asyncio.get_running_loop().time() + self.settings.answer_ms / 1000)
                return _answer(source, ANSWERS[await ingest.submit(ReceivedWebhook(source, body, self.clock.now()))])
        except ClientDisconnect:
            return _answer(source, HTTPStatus.REQUEST_TIMEOUT)
        except (DomainError, TimeoutError) as error:
            if body is None:
                return _answer(source, HTTPStatus.REQUEST_TIMEOUT)
            log.warning("webhook_not_taken", source=source, reason=getattr(error, "reason", "TIMED_OUT"))
            return _answer(source, HTTPStatus.SERVICE_UNAVAILABLE)


async def read_body(request: Request, limit: int) -> bytes | None:
    """The raw body, or None as soon as it is seen to be longer than `limit` bytes. Raises ClientDisconnect."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _answer(source: str, status: HTTPStatus) -> Response:
    count, response = _prepared(source, status)
    count.inc()
    return response


@cache
def _prepared(source: str, status: HTTPStatus) -> tuple[Counter, Response]:
    """The count and the empty answer, which nobody changes and which cost more to make than to send."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return webhooks_total.labels(source, str(int(status))), Response(status_code=status, headers=headers)


def build_app(gateway: Gateway) -> ASGIApp:
    """The ASGI application; whoever builds it also closes the two ways to hand over."""
    app = Starlette(routes=_routes(gateway))
    often = {"/webhooks/stripe": gateway.stripe, "/webhooks/printful": gateway.printful}

    async def short_cut(scope: Scope, receive: Receive, send: Send) -> None:
        # Webhooks that come often do not walk through all routes, which costs as much as all that we do with them.
        take = often.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if take is None:
            await app(scope, receive, send)
        else:
            answer = await take(Request(scope, receive))
            await answer(scope, receive, send)

    return short_cut


def _routes(gateway: Gateway) -> list[Any]:

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/webhooks/stripe", gateway.stripe, methods=["POST"]),
        Route("/webhooks/printful", gateway.printful, methods=["POST"]),
        Route("/webhooks/printful/{secret}", gateway.printful_unsigned, methods=["POST"]),
        Route("/healthz", health),
        Route("/readyz", gateway.readiness),
        Route("/metrics", metrics),
    ]
