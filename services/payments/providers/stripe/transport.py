"""The HTTP below Stripe's SDK.

Why: every provider's calls go the same way, so that a failure means the same everywhere (S-15). The SDK's client on
aiohttp follows redirects, and an answer that breaks off there is no error of the SDK.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import stripe

from services.chassis.http import AnswerLost, HttpClient, NeverSent


class Transport(stripe.HTTPClient):
    """`timeout` is for one call. The cause of an APIConnectionError is NeverSent or AnswerLost."""

    name = "aiohttp"

    def __init__(self, timeout: timedelta) -> None:
        super().__init__()
        self._http = HttpClient(timeout)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and headers."""
        try:
            answer = await self._http.request(method, url, headers=headers, body=post_data or None)
        except (NeverSent, AnswerLost) as error:
            raise stripe.APIConnectionError(str(error)) from error  # type: ignore[no-untyped-call]
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        """Close the connections."""
        await self._http.close()
