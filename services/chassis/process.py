"""One process: its components, its signals, its health.

Why: every role starts, reports and stops in the same way, and a component that died takes the process with it, so that
nothing looks alive that is not.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.chassis.config import PortTaken, ProcessSettings
from services.chassis.telemetry import get_logger

log = get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MARGIN_S = 5.0  # after the grace: what still runs then is cancelled
_REQUEST_TIMEOUT_S = 5.0
_COLLECT_AFTER = (20_000, 20, 20)  # new containers that live on, then runs of the generation below


class Component(Protocol):
    """Something that runs until it is told to stop."""

    name: str

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then end in good order. Ending earlier counts as dying."""

    def ready(self) -> bool:
        """Whether it does its work at present."""


def collect_rarely() -> None:
    """Look for garbage in cycles less often; call it before the rest is imported.

    Python's own limit, 700 new objects, is reached several times in each batch of orders and a thousand times while a
    process imports its modules: a twelfth of all CPU.
    """
    gc.set_threshold(*_COLLECT_AFTER)


async def run(components: Sequence[Component], settings: ProcessSettings) -> None:
    """Run all until SIGTERM or SIGINT; raises SystemExit(1) if one died or did not stop in time."""
    async with _health(components, settings):
        is_sound = await _run(components, _longest_stop_s(settings))
    if not is_sound:
        raise SystemExit(1)
    log.info("process_stopped")


async def _run(components: Sequence[Component], longest_stop_s: float) -> bool:
    """Whether all ended in good order, and only because they were asked to."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in _SIGNALS:
        loop.add_signal_handler(signal_number, stop.set)
    tasks = {asyncio.create_task(component.run(stop), name=component.name) for component in components}
    late: set[asyncio.Task[None]] = set()
    try:
        was_asked = await _until_stopped(tasks, stop)
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=longest_stop_s)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for signal_number in _SIGNALS:
            loop.remove_signal_handler(signal_number)
    for task in late:
        log.error("component_did_not_stop", component=task.get_name())
    return was_asked and not late and not any(isinstance(result, Exception) for result in results)


async def _until_stopped(tasks: "set[asyncio.Task[None]]", stop: asyncio.Event) -> bool:
    """True when asked to stop; false when a component ended by itself."""
    asked = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if stop.is_set():
        return True
    for task in done:
        error = None if task.cancelled() else task.exception()
        log.error("component_died", component=task.get_name(), exc_info=error or False)
    return False


@contextlib.asynccontextmanager
async def _health(components: Sequence[Component], settings: ProcessSettings) -> AsyncIterator[None]:
    """HTTP: /healthz says that the loop turns, /readyz that all components work, /metrics is Prometheus'."""
    if settings.health_port is None:
        yield
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                writer.write(_response(path, components))
                await writer.drain()
        except (OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.info("health_request_refused")
        finally:
            writer.close()  # whatever came: a connection that nobody closes leaves its client waiting for ever

    try:
        server = await asyncio.start_server(serve, settings.host, settings.health_port)
    except OSError as error:
        raise PortTaken(settings, "health_port") from error
    log.info("health_serving", port=server.sockets[0].getsockname()[1])
    async with server:
        yield


def _response(path: bytes, components: Sequence[Component]) -> bytes:
    status, content_type, body = b"200 OK", b"text/plain; charset=utf-8", b"ok\n"
    if path == b"/metrics":
        content_type, body = CONTENT_TYPE_LATEST.encode(), generate_latest()
    elif path == b"/readyz":
        if waiting := [component.name for component in components if not component.ready()]:
            status, body = b"503 Service Unavailable", f"not ready: {', '.join(waiting)}\n".encode()
    elif path != b"/healthz":
        status, body = b"404 Not Found", b"try /healthz, /readyz or /metrics\n"
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, content_type, len(body)) + body


def _longest_stop_s(settings: ProcessSettings) -> float:
    return (settings.drain_delay_ms + 2 * settings.grace_ms) / 1000 + _MARGIN_S
