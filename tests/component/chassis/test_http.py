"""Calls to providers, against a server that counts what arrives and does as it is told."""

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.chassis.http import AnswerLost, HttpClient, NeverSent

pytestmark = [pytest.mark.requirement("S-15"), pytest.mark.requirement("F-61")]

SECRET = "sk_live_never_to_be_logged"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answering = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


async def well(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


class Server:
    """Its address, and the first line of each request that arrived."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.arrived: list[str] = []


@asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[Server]:
    """A server that reads requests without bodies; `answer` gets the number of the request, from 1."""
    open_ones: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            while not writer.is_closing() and (head := await reader.readuntil(b"\r\n\r\n")):
                found.arrived.append(head.decode().split("\r\n")[0])
                await answer(len(found.arrived), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    found = Server(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield found
    finally:
        server.close()
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


@asynccontextmanager
async def client(timeout_s: float = 5.0) -> AsyncIterator[HttpClient]:
    opened = HttpClient(timedelta(seconds=timeout_s), {"Authorization": f"Bearer {SECRET}"})
    try:
        yield opened
    finally:
        await opened.close()


async def test_an_answer_is_given_as_it_is_and_redirects_are_not_followed() -> None:
    async def elsewhere(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")

    async with serving(elsewhere) as server, client() as http:
        answer = await http.request("POST", f"{server.url}/orders")
        assert (answer.status, answer.headers["location"], answer.body) == (307, "/other", b"")
        assert server.arrived == ["POST /orders HTTP/1.1"]


async def test_without_a_connection_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client() as http:
            for url in (f"http://127.0.0.1:{taken.getsockname()[1]}/", "http://", "http://a..b/"):
                with pytest.raises(NeverSent):
                    await http.request("POST", url)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_connection_that_breaks_leaves_doubt_and_nothing_is_sent_twice(method: str) -> None:
    async def once(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(OK)  # the second request goes out on the same connection, which then breaks
        else:
            writer.close()

    async with serving(once) as server, client() as http:
        await http.request("GET", f"{server.url}/first")
        with pytest.raises(AnswerLost):
            await http.request(method, f"{server.url}/second")
        assert server.arrived == ["GET /first HTTP/1.1", f"{method} /second HTTP/1.1"]


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_an_answer_that_does_not_come_in_time_is_lost(sent: bytes) -> None:
    async def hang(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.Event().wait()

    async with serving(hang) as server, client(timeout_s=0.2) as http:
        with pytest.raises(AnswerLost):
            await http.request("POST", f"{server.url}/orders")
        assert len(server.arrived) == 1


async def test_an_answer_without_end_is_given_up() -> None:
    async def endless(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with serving(endless) as server, client(timeout_s=30.0) as http:
        with pytest.raises(AnswerLost, match="larger than 16 MiB"):
            await http.request("GET", f"{server.url}/orders")


async def test_who_waits_for_a_place_in_vain_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("services.chassis.http.CONNECTIONS", 1)
    async with serving(hang) as server, client(timeout_s=0.6) as http:
        calls = [http.request("POST", f"{server.url}/{number}") for number in range(2)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [AnswerLost, NeverSent]
        assert server.arrived == ["POST /0 HTTP/1.1"]


@pytest.mark.requirement("S-5")
async def test_no_key_is_told_by_an_error() -> None:
    async def garbage(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 nonsense buyer@example.com\r\n\r\n")
        writer.close()

    async with serving(garbage) as server, client() as http:
        with pytest.raises(AnswerLost) as raised:
            await http.request("POST", f"{server.url}/orders")
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert SECRET not in told
    assert "buyer@example.com" not in repr(raised.value)


@pytest.mark.parametrize(("variable", "scheme"), [("http_proxy", "http://"), ("http_proxy", ""), ("all_proxy", "")])
async def test_the_proxy_of_the_environment_is_asked(
    variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(well) as proxy, client() as http:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, proxy.url.replace("http://", scheme))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await http.request("GET", "http://provider.invalid/orders")
        assert proxy.arrived == ["GET http://provider.invalid/orders HTTP/1.1"]
