import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from services.chassis import process
from services.chassis.config import PortTaken, ServiceSettings
from services.chassis.testing import settings_for

pytestmark = pytest.mark.requirement("R-6.3")
SOON_S = 3.0  # less than the time that a request may take: it is refused for what it says


class Part:
    """A component that works until it is told to stop, to die or to hang."""

    def __init__(self, name: str, *, hangs: bool = False) -> None:
        self.name = name
        self.begun = asyncio.Event()
        self.die = asyncio.Event()
        self.fault: Exception | None = None
        self.ended = False
        self.is_ready = True
        self._hangs = hangs

    async def run(self, stop: asyncio.Event) -> None:
        self.begun.set()
        waiting = [asyncio.create_task(event.wait()) for event in (stop, self.die)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if self.fault is not None:
            raise self.fault
        if self._hangs:
            await asyncio.Event().wait()
        self.ended = True

    def ready(self) -> bool:
        return self.is_ready


@pytest.fixture
def settings() -> ServiceSettings:
    return settings_for(ServiceSettings)


async def exit_code(running: Coroutine[Any, Any, None]) -> int:
    try:
        async with asyncio.timeout(10):
            await running
    except SystemExit as leaving:
        return int(str(leaving.code))
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_every_component(settings: ServiceSettings, number: signal.Signals) -> None:
    parts = [Part("one"), Part("two")]
    running = asyncio.create_task(exit_code(process.run(parts, settings)))
    await asyncio.gather(*(part.begun.wait() for part in parts))
    os.kill(os.getpid(), number)
    assert await running == 0
    assert [part.ended for part in parts] == [True, True]


@pytest.mark.parametrize("fault", [RuntimeError("bad"), None], ids=["raises", "returns"])
async def test_a_component_that_dies_takes_the_process_along(
    settings: ServiceSettings, fault: Exception | None
) -> None:
    dying, other = Part("dying"), Part("other")
    dying.fault = fault
    running = asyncio.create_task(exit_code(process.run([dying, other], settings)))
    await other.begun.wait()
    dying.die.set()
    assert await running == 1
    assert other.ended


async def test_a_component_that_does_not_stop_is_left_behind(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MARGIN_S", 0.05)
    hanging, other = Part("hanging", hangs=True), Part("other")
    running = asyncio.create_task(exit_code(process.run([hanging, other], settings.model_copy(update={"grace_ms": 0}))))
    await asyncio.gather(hanging.begun.wait(), other.begun.wait())
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 1
    assert other.ended


async def test_health_readiness_and_metrics_are_served(settings: ServiceSettings, unused_tcp_port: int) -> None:
    part = Part("relay")
    stop = asyncio.create_task(
        exit_code(process.run([part], settings.model_copy(update={"health_port": unused_tcp_port})))
    )
    await part.begun.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as http:
        answers = {path: await http.get(path) for path in ("/healthz", "/readyz", "/metrics", "/other")}
        part.is_ready = False
        unready = await http.get("/readyz")
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/healthz": 200,
        "/readyz": 200,
        "/metrics": 200,
        "/other": 404,
    }
    assert "onefold_call_seconds" in answers["/metrics"].text or "python_info" in answers["/metrics"].text
    assert (unready.status_code, unready.text) == (503, "not ready: relay\n")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await stop == 0


async def test_a_client_that_says_nonsense_harms_nobody(settings: ServiceSettings, unused_tcp_port: int) -> None:
    part, unhandled = Part("relay"), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    running = asyncio.create_task(
        exit_code(process.run([part], settings.model_copy(update={"health_port": unused_tcp_port})))
    )
    await part.begun.wait()
    for nonsense, ends in ((b"\r\n\r\n", False), (b"GET", True), (b"\xff" * 100_000, False)):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        with contextlib.suppress(ConnectionResetError):  # it hangs up without having read all
            writer.write(nonsense)
            if ends:
                writer.write_eof()
            async with asyncio.timeout(SOON_S):
                assert await reader.read() == b""
        writer.close()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{unused_tcp_port}/healthz")).status_code == 200
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    gc.collect()  # only then a task tells that nobody took its exception
    assert unhandled == []


async def test_a_taken_port_is_a_clear_error(settings: ServiceSettings, unused_tcp_port: int) -> None:
    other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", unused_tcp_port)
    async with other:
        with pytest.raises(PortTaken, match=f"{unused_tcp_port} .* set ONEFOLD_HEALTH_PORT"):
            await process.run([Part("relay")], settings.model_copy(update={"health_port": unused_tcp_port}))
