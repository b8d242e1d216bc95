"""What every fact about an order carries, whoever says it.

Kept apart, so that the facts of each partner stand in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What every fact carries."""

    version: int
    occurred_at: datetime
