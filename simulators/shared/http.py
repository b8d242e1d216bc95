"""HTTP calls, many at once, over connections that are kept for a moment."""

import json
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

_KEPT_SECONDS: Final = 2.0  # below every server's own limit: a connection that it closes meanwhile breaks the next call
FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True)
class Answer:
    """Status and body, whatever they say."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


class Client:
    """Connections that are opened with the first call. `timeout_seconds` is for one call."""

    def __init__(self, timeout_seconds: float, base_url: str = "") -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._base_url = base_url
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        """The answer; redirects are not followed. Raises what FAILURES names."""
        session = self._session = self._session or self._open()
        async with session.request(method, self._base_url + url, allow_redirects=False, **options) as response:
            return Answer(response.status, await response.read())

    async def close(self) -> None:
        """Close the connections; new calls open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
        )
