"""Printful's two ways to prove itself, because v1 does not sign at all and v2 signs with a hex secret (F-19)."""

import hashlib
import hmac

SIGNATURE_HEADER = "x-pf-webhook-signature"


def is_authentic(body: bytes, header: str | None, secret_hex: str) -> bool:
    """Whether the header is the hex HMAC-SHA256 of the raw body under the decoded secret (v2, F-19)."""
    if not header or not header.isascii() or not secret_hex:
        return False
    expected = hmac.new(bytes.fromhex(secret_hex), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, header.strip().lower())


def knows_path_secret(given: str, secret: str) -> bool:
    """Whether the secret in the URL is ours; v1 webhooks are unsigned, so the URL is the secret (F-19)."""
    return bool(secret) and hmac.compare_digest(given.encode(), secret.encode())
