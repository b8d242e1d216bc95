"""`python -m gateway`: wiring only, so that tests build the same application from other parts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import uvicorn
import uvloop

from gateway.app import Gateway, build_app
from gateway.config import GatewaySettings
from gateway.http import HttpProtocol
from gateway.ingest import fulfillment_ingest, payments_ingest
from services.chassis import process
from services.chassis.clock import SystemClock
from services.chassis.config import load
from services.chassis.grpc_client import channel
from services.chassis.telemetry import configure_logging

_KEEP_ALIVE_SECONDS = 30
_CONCURRENCY_MAX = 2048


class HttpServer:
    """Serves the application until it is told to stop, then finishes the requests under way; a component."""

    name = "http"

    def __init__(self, gateway: Gateway, settings: GatewaySettings, channels: list[grpc.aio.Channel]) -> None:
        self._gateway = gateway
        self._settings = settings
        self._channels = channels
        self._server: _Server | None = None

    def ready(self) -> bool:
        """Whether it takes requests."""
        return self._server is not None and self._server.started

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        config = uvicorn.Config(
            build_app(self._gateway),
            host=self._settings.host,
            port=self._settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=_CONCURRENCY_MAX,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=self._settings.grace_ms // 1000,
            http=HttpProtocol,
            ws="none",
            proxy_headers=False,
        )
        self._server = server = _Server(config)
        serving = asyncio.create_task(server.serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await serving
        await self._gateway.to_payments.close()
        await self._gateway.to_fulfillment.close()
        for open_channel in self._channels:
            await open_channel.close()


class _Server(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: `process.run` has them."""
        yield


async def main() -> None:
    """Run the gateway until SIGTERM."""
    process.collect_rarely()
    settings = load(GatewaySettings)
    configure_logging("gateway", settings.log_level)
    token = settings.token.get_secret_value()
    to_payments = channel(settings.payments_target, token)
    to_fulfillment = channel(settings.fulfillment_target, token)
    channels = [to_payments, to_fulfillment]

    def is_connected() -> bool:
        states = [open_channel.get_state(try_to_connect=True) for open_channel in channels]
        return all(state is grpc.ChannelConnectivity.READY for state in states)

    gateway = Gateway(
        settings=settings,
        to_payments=payments_ingest(to_payments),
        to_fulfillment=fulfillment_ingest(to_fulfillment),
        clock=SystemClock(),
        ready=is_connected,
    )
    await process.run([HttpServer(gateway, settings, channels)], settings)


if __name__ == "__main__":
    uvloop.run(main())
