"""The server: its port, its health, and how it stops.

Why: a rolling restart loses no call, because balancers hear NOT_SERVING before the port closes (F-44).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.config import PortTaken, ServiceSettings
from services.chassis.grpc_client import MAX_MESSAGE_BYTES
from services.chassis.grpc_server.calls import Identify, callers_by_token, survivors
from services.chassis.grpc_server.door import Door, Handler
from services.chassis.telemetry import get_logger

log = get_logger(__name__)

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two servers would share one port silently (F-44)
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # our channels ping every 30 s
)


class Server:
    """A gRPC server with health and reflection; a component of `process.run`."""

    name = "grpc"

    def __init__(self, settings: ServiceSettings, *, identify: Identify | None = None) -> None:
        self.port = settings.port
        self._settings = settings
        self._door = Door(identify or callers_by_token(settings.caller_tokens))
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        self._services: list[str] = []
        self._is_serving = False
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve `servicer`, by the generated `add_XServicer_to_server`; all of its methods are coroutines."""
        add_to_server(servicer, self)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by generated code, which tells the same methods again below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Called by generated code: each method gets the door in front of it."""
        guarded = {name: self._door.guard(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        self._server.add_registered_method_handlers(service, guarded)
        self._services.append(service)

    async def start(self) -> None:
        """Listen, then say SERVING; `port` is known afterwards. Raises PortTaken."""
        names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortTaken(self._settings, "port") from error
        await self._server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._is_serving = True
        log.info("grpc_serving", port=self.port)

    async def stop(self) -> None:
        """Say NOT_SERVING, wait until balancers noticed, refuse new calls, let running ones end within the grace."""
        self._is_serving = False
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_delay_ms / 1000)
        self._door.drain()
        grace_s = self._settings.grace_ms / 1000
        await self._server.stop(grace_s)
        if survivors:
            await asyncio.wait(survivors, timeout=grace_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain."""
        await self.start()
        await stop.wait()
        await self.stop()

    def ready(self) -> bool:
        """Whether it takes calls."""
        return self._is_serving
