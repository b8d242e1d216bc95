"""What each benchmark has to reach.

Why: the goals stand in one place that no measurement changes; a figure that falls short says so, it does not move them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Goal:
    """`peer` and `limit`: what ours divided by them must reach at least; where `at_most`, may reach at most.

    `p99_peer`: our p99 divided by the peer's, at most.
    """

    peer: float | None = None
    limit: float | None = None
    at_most: bool = False
    p99_peer: float | None = None


GOALS: Final[Mapping[str, Goal]] = {
    "order-create": Goal(peer=6, limit=0.8),
    "order-batch": Goal(peer=18, limit=0.6),
    "hot-sku": Goal(peer=25, limit=0.5, p99_peer=1 / 50),
    "outbox-drain": Goal(peer=25, limit=0.8),
    "outbox-latency": Goal(peer=1 / 40, limit=25, at_most=True),  # p50 beside the poller's; p99 beside one fdatasync
    "inbox": Goal(peer=30, limit=0.6),
    "webhook": Goal(peer=5, limit=0.6),
    "checkout": Goal(limit=0.25),
    "growth": Goal(peer=1.1, at_most=True),  # ours: cost per order after a million; peer: the same after 10,000
    "idle": Goal(limit=1, at_most=True),  # ours: the largest share of its allowance that CPU or a process' memory takes
}
IDLE_CPU_OF_A_CORE: Final = 0.03
IDLE_MB: Final = 120
IDLE_MB_ANALYTICS: Final = 200
CORES: Final = 2  # for which checkout's goal is reckoned
