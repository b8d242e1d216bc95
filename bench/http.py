"""A small HTTP client for load: connections that stay, requests that were written beforehand.

Why: a full client costs more than the server under test, and would be what is measured.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

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
    waiting, latencies = iter(requests), list[float]()
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(in_flight)]
    watch = Stopwatch()
    end = watch.started + seconds

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (begun := time.perf_counter()) < end and (request := next(waiting, None)) is not None:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(OK):
                raise WrongCount(answer.decode(errors="replace"))
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(connection(*stream) for stream in streams))
    sample = watch.sample(len(latencies), latencies)
    for _, writer in streams:
        writer.close()
    return sample
