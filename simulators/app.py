"""The simulators as one ASGI application, and as a server on a free port inside a test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from .client import SimulatorClient
from .control import routes as control_routes
from .settings import SimulatorSettings
from .shared.clock import SimulatorClock
from .shared.hangup import TransportSeam
from .world import World


def build_app(settings: SimulatorSettings, clock: SimulatorClock | None = None, world: World | None = None) -> ASGIApp:
    """The application: `/stripe`, `/printful`, `/_control`, `/healthz`; its lifespan runs the background work."""
    world = world or World(settings, clock or SimulatorClock())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        background = asyncio.create_task(world.run())
        try:
            yield
        finally:
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)
            await world.desk.close()

    routes = [
        Route("/healthz", _healthz, methods=["GET"]),
        Mount("/stripe", routes=[*world.stripe.routes(), *world.page.routes()]),
        Mount("/printful", routes=world.printful.routes()),
        Mount("/_control", routes=control_routes(world)),
    ]
    return TransportSeam(Starlette(routes=routes, lifespan=lifespan))


@dataclass(frozen=True)
class RunningSimulators:
    """A server that runs until its block ends."""

    url: str
    world: World
    client: SimulatorClient

    @property
    def stripe_url(self) -> str:
        """For `base_addresses={"api": ...}`."""
        return self.url + "/stripe"

    @property
    def printful_url(self) -> str:
        """In place of the vendor's origin."""
        return self.url + "/printful"


@contextlib.asynccontextmanager
async def serve(
    settings: SimulatorSettings | None = None, clock: SimulatorClock | None = None
) -> AsyncIterator[RunningSimulators]:
    """Serve in the running event loop on a free port of 127.0.0.1; `settings.port` is not looked at."""
    settings = settings or SimulatorSettings(deliver=False)
    world = World(settings, clock or SimulatorClock())
    async with listening(build_app(settings, world=world)) as url, SimulatorClient(url) as client:
        yield RunningSimulators(url, world, client)


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serve any ASGI application on a free port of 127.0.0.1 in the running loop; gives its URL."""
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it each answer waits 40 ms for an ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        config = uvicorn.Config(app, log_config=None, access_log=False, date_header=False, timeout_graceful_shutdown=1)
        server = _QuietServer(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.wait_ready(task)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await task


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process it runs in, and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the main loop."""
        self.should_exit = True
        self._stopped.set()

    async def wait_ready(self, serving: asyncio.Task[None]) -> None:
        """Until connections are answered; raises what `serving` died of."""
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            waiting.cancel()
            await serving
            raise RuntimeError("the simulators stopped before they were ready")

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
