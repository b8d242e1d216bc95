"""Breaking a connection without an answer, which ASGI has no word for but every time-out test needs."""

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_KEY = "onefold.transport"
LONGEST_HANG_SECONDS = 600.0


class TransportSeam:
    """Outermost middleware: keeps the server's transport in the scope, where the frameworks above cannot hide it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_KEY] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


class NoAnswer(Response):
    """Sends nothing: closes the connection at once, or leaves the client waiting until it goes."""

    def __init__(self, *, close: bool) -> None:
        super().__init__()
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get(_KEY)
        if self._close and transport is not None:
            transport.abort()
        async with asyncio.timeout(LONGEST_HANG_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass
