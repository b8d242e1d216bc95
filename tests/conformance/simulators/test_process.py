"""The simulators as a process of the local stack: settings, health, a taken port, a clean end."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

DEADLINE_SECONDS = 20.0


@asynccontextmanager
async def started(port: int, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "ONEFOLD_SIMULATORS_PORT": str(port)}
    environment |= {f"ONEFOLD_SIMULATORS_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_it_serves_until_it_is_told_to_end() -> None:
    port = free_port()
    transport = httpx.AsyncHTTPTransport(retries=6)  # connecting is tried again with growing pauses
    async with (
        started(port, STRIPE_KEY="sk_test_other") as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport) as http,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        health = await http.get("/healthz")
        assert health.json() == {"status": "ok"}
        listed = await http.get("/stripe/v1/events", headers={"Authorization": "Bearer sk_test_other"})
        assert listed.json()["data"] == []
        process.terminate()
        assert await process.wait() in (0, -15)


async def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        async with started(holder.getsockname()[1]) as process, asyncio.timeout(DEADLINE_SECONDS):
            _, complaint = await process.communicate()
    assert process.returncode not in (0, None)
    assert b"address already in use" in complaint


async def test_bad_settings_are_named() -> None:
    async with started(free_port(), PRINTFUL_WEBHOOK_SECRET="not hex") as process, asyncio.timeout(DEADLINE_SECONDS):
        _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"printful_webhook_secret" in complaint
