"""Authenticity of webhooks, against the vendor's own signer and against what an attacker would send."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
import stripe as stripe_sdk

from gateway.ingest import MAX_CALL_BYTES, ReceivedWebhook, split_by_bytes
from gateway.webhooks import printful, stripe

NOW = 1_790_000_000
SECRET = "whsec_first"
BODY = json.dumps({"id": "evt_1", "object": "event"}).encode()


def signed(body: bytes = BODY, *, at: int = NOW, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


@pytest.mark.requirement("R-1.3")
def test_what_the_official_sdk_accepts_is_accepted() -> None:
    header = signed()
    assert stripe_sdk.WebhookSignature.verify_header(BODY.decode(), header, SECRET)
    assert stripe.is_authentic(BODY, header, [SECRET], NOW)


@pytest.mark.requirement("R-1.3")
def test_either_secret_passes_while_one_is_rolled() -> None:
    assert stripe.is_authentic(BODY, signed(secret="whsec_second"), [SECRET, "whsec_second"], NOW)
    several = signed(secret="whsec_old") + "," + signed().split(",")[1]
    assert stripe.is_authentic(BODY, several, [SECRET], NOW)


@pytest.mark.requirement("R-1.3")
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=,v1=",
        "garbage",
        "t=abc,v1=00",
        f"t={NOW}",
        "v1=" + "0" * 64,
        f"t={NOW},v1=" + "é" * 64,
        f"t={NOW},t={NOW}," + "v1=" + "0" * 64,
        "t=" + "9" * 5000,
        signed(secret="whsec_other"),
        signed(BODY + b" "),
        signed(at=NOW).replace("v1=", "v0="),
    ],
)
def test_a_missing_or_wrong_signature_is_refused(header: str | None) -> None:
    assert not stripe.is_authentic(BODY, header, [SECRET], NOW)


@pytest.mark.requirement("R-1.3")
@pytest.mark.parametrize("skew, passes", [(-301, False), (-300, True), (300, True), (301, False), (31_536_000, False)])
def test_a_stamp_too_old_or_from_the_future_is_refused(skew: int, passes: bool) -> None:
    assert stripe.is_authentic(BODY, signed(at=NOW + skew), [SECRET], NOW) is passes


def test_without_a_secret_nothing_is_authentic() -> None:
    assert not stripe.is_authentic(BODY, signed(secret=""), [], NOW)


@pytest.mark.requirement("R-1.3")
def test_printful_signs_with_the_decoded_hex_secret() -> None:
    secret = b"printful".hex()
    digest = hmac.new(b"printful", BODY, hashlib.sha256).hexdigest()
    assert printful.is_authentic(BODY, digest, secret)
    assert not printful.is_authentic(BODY, hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest(), secret)
    assert not printful.is_authentic(BODY, None, secret)
    assert not printful.is_authentic(BODY, "é", secret)
    assert not printful.is_authentic(BODY, hmac.new(b"", BODY, hashlib.sha256).hexdigest(), "")


def test_an_empty_path_secret_lets_nobody_in() -> None:
    assert printful.knows_path_secret("s3cret", "s3cret")
    assert not printful.knows_path_secret("", "")
    assert not printful.knows_path_secret("é", "s3cret")


def test_a_call_never_carries_more_than_the_service_accepts() -> None:
    received_at = datetime(2026, 1, 1, tzinfo=UTC)
    webhooks = [ReceivedWebhook("stripe", bytes(1024 * 1024), received_at) for _ in range(10)]
    parts = split_by_bytes(webhooks)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert all(sum(len(webhook.body) for webhook in part) <= MAX_CALL_BYTES for part in parts)
