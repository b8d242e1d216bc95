"""The HTTP side of the SMTP sink.

Why: the mails live in another process than the tests and people who want to read them.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from ops.local.smtp import SmtpSink

DEFAULT_LIMIT: Final = 100
START_POLL_SECONDS: Final = 0.005


def build_app(sink: "SmtpSink") -> Starlette:
    """Routes: mails (newest first), one mail, all headings, planned refusals, health."""

    async def mails(request: Request) -> Response:
        query = request.query_params
        found = await asyncio.to_thread(sink.mails, query.get("to", ""), query.get("subject", ""))
        limit = query.get("limit", "")
        newest = found[::-1][: int(limit) if limit.isdigit() else DEFAULT_LIMIT]
        return JSONResponse({"count": len(found), "mails": [asdict(mail) for mail in newest]})

    async def headings(_: Request) -> Response:
        return JSONResponse([asdict(each) for each in await asyncio.to_thread(sink.headings)])

    async def mail(request: Request) -> Response:
        for found in await asyncio.to_thread(sink.mails):
            if found.id == request.path_params["id"]:
                return JSONResponse(asdict(found))
        return JSONResponse({"error": "no such mail"}, 404)

    async def refuse(request: Request) -> Response:
        sink.refuse_next(*map(str, await request.json()))
        return JSONResponse({"waiting": len(sink.refusals)})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/mails", mails),
            Route("/mails/{id}", mail),
            Route("/headings", headings),
            Route("/refusals", refuse, methods=["POST"]),
            Route("/healthz", health),
        ]
    )


@contextlib.asynccontextmanager
async def shown(sink: "SmtpSink", listener: socket.socket) -> AsyncIterator[None]:
    """Serve the view on a bound socket until the block ends."""
    server = _Server(uvicorn.Config(build_app(sink), log_config=None, access_log=False, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(START_POLL_SECONDS)
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
