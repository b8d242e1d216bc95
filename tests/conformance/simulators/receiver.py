"""A receiver of webhooks that keeps what arrives and answers as told, so that tests read the wire itself."""

from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

SECRET = "whsec_onefold"


@dataclass
class Receiver:
    """Keeps what arrives and answers with `answers`, then 200."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.received.append((dict(request.headers), await request.body()))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)
