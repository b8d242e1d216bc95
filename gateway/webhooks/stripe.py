"""Stripe's signature on a webhook, checked on the raw bytes because any re-encoding would change them (F-1)."""

import hmac
from collections.abc import Sequence

SIGNATURE_HEADER = "stripe-signature"
TOLERANCE_SECONDS = 300
_MAX_HEADER_LENGTH = 4096


def is_authentic(body: bytes, header: str | None, secrets: Sequence[str], now: float) -> bool:
    """Whether one `v1` of the header `t=..,v1=..` is the HMAC-SHA256 of `{t}.{body}` under one of the secrets.

    Args:
        body: the raw bytes.
        header: the value of `Stripe-Signature`, None when it is missing.
        secrets: the endpoint's secrets; two while one is being rolled (F-1).
        now: Unix time in seconds. Both sides are checked: a stamp from the future is refused too (F-2).
    """
    if not header or len(header) > _MAX_HEADER_LENGTH or not header.isascii():
        return False
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    stamps = [value for key, value in pairs if key == "t"]
    candidates = [value for key, value in pairs if key == "v1"]
    if len(stamps) != 1 or not stamps[0].isdigit() or len(stamps[0]) > 12 or not candidates:
        return False
    if abs(now - int(stamps[0])) > TOLERANCE_SECONDS:
        return False
    signed = stamps[0].encode() + b"." + body
    expected = [hmac.digest(secret.encode(), signed, "sha256").hex() for secret in secrets]
    return any(hmac.compare_digest(digest, candidate) for digest in expected for candidate in candidates)
