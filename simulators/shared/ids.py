"""Ids in the vendors' shapes, always fresh: a restarted simulator must not repeat ids that databases know."""

import random
import string

_BASE62 = string.digits + string.ascii_letters
_system = random.SystemRandom()
_fast = random.Random(_system.getrandbits(256))


def token(length: int = 24) -> str:
    """Random letters and digits; not a secret, only unique."""
    return "".join(_fast.choices(_BASE62, k=length))


def number() -> int:
    """A random positive integer of nine or ten digits that fits 32 bits: where a vendor's numbering starts."""
    return 100_000_000 + _fast.randrange(1_500_000_000)


def bare(identifier: str) -> str:
    """Without dashes, in lower case: an order has dashes at Stripe and none at Printful (F-17)."""
    return identifier.replace("-", "").lower()
