"""What reaches the gateway's routes at all: headers have a bound, whoever sends them and however slowly."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.http import HEADER_BYTES_MAX, HttpProtocol

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _length(request: Request) -> Response:
    return Response(str(len(await request.body())))


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """A connection to a server with the gateway's protocol, which answers how long the body was."""
    app = Starlette(routes=[Route("/", _length, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=HttpProtocol, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        yield reader, writer
        writer.close()
        server.should_exit = True
        await serving


def _request(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head.split(b" ", 2)[1], await reader.readexactly(length)


@pytest.mark.requirement("R-1.3")
async def test_long_bodies_on_one_connection_are_no_long_headers(connection: Connection) -> None:
    reader, writer = connection
    for length in (3 * HEADER_BYTES_MAX, 2, HEADER_BYTES_MAX):
        writer.write(_request(length))
        assert await _answer(reader) == (b"200", str(length).encode())


@pytest.mark.requirement("R-1.3")
async def test_a_header_that_does_not_end_is_refused_and_hung_up_on(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nStripe-Signature: ")
    for _ in range(5):
        writer.write(b"a" * (HEADER_BYTES_MAX // 4))
        await writer.drain()
    assert (await _answer(reader))[0] == b"400"
    assert await reader.read() == b""
