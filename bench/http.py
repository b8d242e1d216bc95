"""A small HTTP client for load: connections that stay, requests that were written beforehand.

Why: a full client costs more than the server under test, and would be what is measured.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final, cast

from bench.harness import Sample, WrongCount
from bench.load import Stopwatch

OK: Final = b"HTTP/1.1 200 "


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A request as bytes."""
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def send_all(port: int, requests: Sequence[bytes], *, in_flight: int, seconds: float) -> Sample:
    """Send requests over `in_flight` connections for `seconds`; every answer must be 200 without a body."""
    loop, waiting, latencies = asyncio.get_running_loop(), iter(requests), list[float]()
    opened = [await loop.create_connection(_Connection, "127.0.0.1", port) for _ in range(in_flight)]
    connections = [connection for _, connection in opened]
    watch = Stopwatch()
    end = watch.started + seconds
    await asyncio.gather(*(connection.send(waiting, latencies, end) for connection in connections))
    sample = watch.sample(len(latencies), latencies)
    for transport, _ in opened:
        transport.close()
    return sample


class _Connection(asyncio.Protocol):
    """One request at a time; callbacks, because streams would take twice the CPU that the servers need, too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, waiting: Iterator[bytes], latencies: list[float], end: float) -> asyncio.Future[None]:
        """Send from `waiting` until `end`; done when the last answer has come."""
        self._waiting, self._latencies, self._end = waiting, latencies, end
        self._answer = b""
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of it."""
        self._answer += data
        if not self._answer.endswith(b"\r\n\r\n"):
            return
        if not self._answer.startswith(OK):
            self._fail(WrongCount(self._answer.decode(errors="replace")))
            return
        self._latencies.append(time.perf_counter() - self._begun)
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up, or we did."""
        self._fail(WrongCount(f"the connection was lost: {exc}"))

    def _next(self) -> None:
        self._begun = time.perf_counter()
        request = next(self._waiting, None) if self._begun < self._end else None
        if request is not None:
            self._transport.write(request)
        elif not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
