"""HTTP calls to providers, each sent at most once, and one word for what surely never left.

Why: what may be repeated depends on whether a request can have arrived (S-15), and aiohttp costs a sixth of httpx.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from aiohttp.client_middlewares import ClientHandlerType

CONNECTIONS: Final = 100  # the places of a runner lie below it (F-61)
_KEPT_SECONDS: Final = 5.0  # below providers' own limit: a connection that they close meanwhile breaks the next call
ANSWER_BYTES: Final = 16 << 20  # of one answer, unpacked; a hundred of Stripe's largest objects are a tenth of it
_NOT_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, UnicodeError)


class NeverSent(Exception):
    """There was no connection: nobody can have executed the request."""


class AnswerLost(Exception):
    """The request may have arrived. The text names the kind of failure only: libraries quote headers and bodies."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; redirects are not followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Connections to one provider, opened with the first request. `timeout` is for one request with its answer."""

    def __init__(self, timeout: timedelta, headers: Mapping[str, str] | None = None) -> None:
        total = timeout.total_seconds()
        # A connection that takes so long is given up while it can still be said that nothing was sent.
        self._timeout = aiohttp.ClientTimeout(total=total, connect=total / 2)
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | str | None = None
    ) -> Answer:
        """Send once. Raises NeverSent, AnswerLost."""
        session = self._session = self._session or self._open(url)
        tls = _tls() if url.startswith("https:") else True
        try:
            async with session.request(
                method, url, headers=headers, data=body, allow_redirects=False, ssl=tls
            ) as response:
                return Answer(response.status, response.headers, await _body(response))
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise NeverSent("no URL") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnswerLost(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self, url: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=_KEPT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
            middlewares=(_once,),
            proxy=_proxy(url),
        )


async def _once(request: aiohttp.ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp sends a GET or DELETE again when a kept connection breaks; an error that it does not know stops it."""
    try:
        return await send(request)
    except _NOT_CONNECTED as error:
        raise NeverSent(str(error)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise AnswerLost(type(error).__name__) from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts, left = [], ANSWER_BYTES
    async for part in response.content.iter_any():
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise AnswerLost(f"it is larger than {ANSWER_BYTES >> 20} MiB")
    return b"".join(parts)


def _proxy(url: str) -> str | None:
    """Of the environment. aiohttp itself would read it, and a file of passwords, in a thread for each request."""
    parts, proxies = urlsplit(url), getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or proxy_bypass(parts.hostname or ""):
        return None
    return found if "://" in found else f"http://{found}"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
