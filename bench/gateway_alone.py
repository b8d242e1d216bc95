"""The gateway with nobody behind it: `python -m bench.gateway_alone` checks signatures and answers 200 at once.

Why: it is the limit of webhook, for no webhook can be committed faster than it can be taken.
"""

from collections.abc import Sequence

import uvloop

from gateway.__main__ import HttpServer
from gateway.app import Gateway
from gateway.config import GatewaySettings
from gateway.ingest import FLUSHES, Ingest, ReceivedWebhook, Verdict
from services.chassis import process
from services.chassis.clock import SystemClock
from services.chassis.config import load
from services.chassis.errors import DomainError
from services.chassis.telemetry import configure_logging


async def main() -> None:
    """Serve until SIGTERM."""
    settings = load(GatewaySettings)
    configure_logging("gateway-alone", settings.log_level)

    async def take(webhooks: Sequence[ReceivedWebhook]) -> list[Verdict | DomainError]:
        return [Verdict.TAKEN for _ in webhooks]

    gateway = Gateway(
        settings=settings,
        to_payments=Ingest(take, name="alone_payments", flushes=FLUSHES),
        to_fulfillment=Ingest(take, name="alone_fulfillment", flushes=FLUSHES),
        clock=SystemClock(),
        ready=lambda: True,
    )
    await process.run([HttpServer(gateway, settings, [])], settings)


if __name__ == "__main__":
    uvloop.run(main())
