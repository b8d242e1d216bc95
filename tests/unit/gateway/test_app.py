"""What a provider is told: the routes with a hand-over that answers as a service would."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import Message

from gateway.app import Gateway, build_app
from gateway.config import GatewaySettings
from gateway.ingest import Ingest, ReceivedWebhook, Verdict
from services.chassis.clock import ManualClock
from services.chassis.errors import DependencyUnavailable, DomainError

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BODY = b'{"id": "evt_1"}'


class Door:
    """The gateway with a hand-over that remembers what it was given."""

    def __init__(self, answer: Verdict | DomainError = Verdict.TAKEN, **changes: int) -> None:
        self.taken: list[ReceivedWebhook] = []
        self.answer = answer
        self.go_on = asyncio.Event()
        self.go_on.set()
        settings = GatewaySettings(
            profile="test",
            stripe_webhook_secret=SecretStr("whsec_test"),
            printful_webhook_secret=SecretStr(b"printful".hex()),
            printful_path_secret=SecretStr("path-secret"),
            max_body_bytes=4096,
            **changes,  # type: ignore[arg-type]
        )
        gateway = Gateway(
            settings=settings,
            to_payments=Ingest(self._flush, name="test_payments"),
            to_fulfillment=Ingest(self._flush, name="test_fulfillment"),
            clock=ManualClock(NOW),
            ready=lambda: not isinstance(self.answer, DomainError),
        )
        self.http = TestClient(build_app(gateway))

    async def _flush(self, webhooks: Sequence[ReceivedWebhook]) -> list[Verdict | DomainError]:
        self.taken.extend(webhooks)
        await self.go_on.wait()
        return [self.answer] * len(webhooks)

    def stripe(self, body: bytes = BODY, header: str | None = None) -> tuple[int, bytes]:
        stamp = int(NOW.timestamp())
        digest = hmac.new(b"whsec_test", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        answer = self.http.post(
            "/webhooks/stripe", content=body, headers={"Stripe-Signature": header or f"t={stamp},v1={digest}"}
        )
        return answer.status_code, answer.content


@pytest.mark.requirement("R-1.3")
@pytest.mark.parametrize("body", [b"", b"{"])
def test_a_body_that_no_service_takes_holds_up_no_other(body: bytes) -> None:
    door = Door()
    assert door.stripe(body) == (400, b"")
    assert door.taken == []


@pytest.mark.requirement("R-1.3")
@pytest.mark.parametrize(
    "answer, status",
    [
        (Verdict.TAKEN, 200),
        (Verdict.MALFORMED, 400),
        (Verdict.FAILED, 500),
        (DependencyUnavailable("payments is away"), 503),
    ],
)
def test_the_answer_follows_the_services_commit(answer: Verdict | DomainError, status: int) -> None:
    door = Door(answer)
    assert door.stripe() == (status, b"")
    assert door.taken == [ReceivedWebhook("stripe", BODY, NOW)]


@pytest.mark.requirement("R-1.3")
def test_a_bad_signature_is_refused_without_detail_and_never_handed_over() -> None:
    door = Door()
    assert door.stripe(header="t=1,v1=00") == (400, b"")
    assert door.http.post("/webhooks/stripe", content=BODY).status_code == 400
    assert door.taken == []


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    door = Door()
    assert door.stripe(b"x" * 4097)[0] == 413
    chunked = door.http.post("/webhooks/stripe", content=iter([b"x" * 3000, b"x" * 3000]))
    assert chunked.status_code == 413
    assert door.taken == []


def test_a_service_that_is_away_tells_the_provider_when_to_come_again() -> None:
    door = Door(DependencyUnavailable("payments is away"))
    stamp = int(NOW.timestamp())
    digest = hmac.new(b"whsec_test", f"{stamp}.".encode() + BODY, hashlib.sha256).hexdigest()
    answer = door.http.post("/webhooks/stripe", content=BODY, headers={"Stripe-Signature": f"t={stamp},v1={digest}"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert door.http.get("/readyz").status_code == 503


@pytest.mark.requirement("R-1.3")
def test_printful_is_let_in_by_signature_or_by_the_secret_of_its_url() -> None:
    door = Door()
    signature = hmac.new(b"printful", BODY, hashlib.sha256).hexdigest()

    def post(path: str, header: str = "") -> int:
        return door.http.post(path, content=BODY, headers={"x-pf-webhook-signature": header}).status_code

    assert post("/webhooks/printful", signature) == 200
    assert post("/webhooks/printful/path-secret") == 200
    assert post("/webhooks/printful") == 400
    assert post("/webhooks/printful/other") == 400
    assert len(door.taken) == 2


@pytest.mark.parametrize("path, status", [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/other", 404)])
def test_health(path: str, status: int) -> None:
    assert Door().http.get(path).status_code == status


def test_only_post_reaches_a_webhook() -> None:
    assert Door().http.get("/webhooks/stripe").status_code == 405


def test_a_service_that_does_not_answer_in_time_is_not_waited_for() -> None:
    door = Door(answer_ms=50)
    door.go_on.clear()
    assert door.stripe() == (503, b"")


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    door, sent = Door(body_ms=50), list[Message]()

    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/webhooks/stripe", "headers": [], "query_string": b""}
    await door.http.app(scope, nothing, send)
    assert sent[0]["status"] == 408
    assert door.taken == []
