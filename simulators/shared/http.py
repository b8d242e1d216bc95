"""HTTP calls, many at once: a client with one connection for each that is under way.

Why: httpx looks at every connection of a client for each request; with 32 of them that costs five times the request.
"""

import ssl
from typing import Any

import httpx

_KEPT_SECONDS = 2.0  # below every server's own limit: a connection that it closes meanwhile breaks the next request


class Clients:
    """As many clients as calls are under way; each is used again. `timeout_seconds` is for one call."""

    def __init__(self, timeout_seconds: float, base_url: str = "") -> None:
        self._timeout_seconds = timeout_seconds
        self._base_url = base_url
        self._idle: list[httpx.AsyncClient] = []
        self._tls: ssl.SSLContext | None = None

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """The answer. Raises httpx.HTTPError and httpx.InvalidURL."""
        client = self._idle.pop() if self._idle else self._new()
        try:
            return await client.request(method, url, **options)
        finally:
            self._idle.append(client)

    async def close(self) -> None:
        """Close the connections; new calls open new ones."""
        while self._idle:
            await self._idle.pop().aclose()

    def _new(self) -> httpx.AsyncClient:
        self._tls = self._tls or httpx.create_ssl_context(trust_env=False)
        return httpx.AsyncClient(
            base_url=self._base_url,
            timeout=self._timeout_seconds,
            verify=self._tls,
            limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
            trust_env=False,
        )
