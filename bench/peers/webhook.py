"""The rival's webhook: FastAPI, Stripe's own `construct_event`, one INSERT, 200.

Why: this is Stripe's example with the one thing added that makes it safe: the event is in the database first.
"""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import stripe
import uvicorn
from fastapi import FastAPI, Request, Response

from bench.peers.serving import open_pool

INSERT: Final = """
INSERT INTO webhook_events (source, event_id, type, raw, received_at, processed_at, outcome)
VALUES ('stripe', $1, $2, $3, $4, $4, 'applied') ON CONFLICT DO NOTHING
"""


def build() -> FastAPI:
    """The application."""
    secret, state = os.environ["ONEFOLD_GATEWAY_STRIPE_WEBHOOK_SECRET"], dict[str, Any]()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state["pool"] = await open_pool(os.environ["ONEFOLD_PAYMENTS_DATABASE_URL"])
        yield
        await state["pool"].close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhooks/stripe")
    async def webhook(request: Request) -> Response:
        body = await request.body()
        try:
            event = stripe.Webhook.construct_event(body, request.headers["stripe-signature"], secret)
        except (ValueError, KeyError, stripe.SignatureVerificationError):
            return Response(status_code=400)
        await state["pool"].execute(INSERT, event.id, event.type, body, datetime.now(UTC))
        return Response(status_code=200)

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    # As the gateway: its event loop and its HTTP parser, and nothing that it goes without.
    uvicorn.run(
        build(),
        port=parser.parse_args().port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
