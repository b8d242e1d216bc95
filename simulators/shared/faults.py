"""Scripted misbehaviour, consumed in order, so that a test says which call goes wrong and how often."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from .ids import bare

ApiFaultKind = Literal[
    "timeout_before",
    "timeout_after",
    "rate_limit",
    "error_before",
    "error_after",
    "slow",
    "decline",
    "require_action",
    "async",
    "fall_back",
]
WebhookFaultKind = Literal[
    "duplicate", "reorder", "late", "lost", "bad_signature", "stale_signature", "future_signature"
]
Answer = Literal["close", "hang", "late"]

TRANSPORT: frozenset[str] = frozenset(
    {"timeout_before", "timeout_after", "rate_limit", "error_before", "error_after", "slow"}
)
MONEY: frozenset[str] = frozenset({"decline", "require_action", "async"})


@dataclass
class ApiFault:
    """One call that goes wrong, `times` times; `operation` and `order_id` are globs, `code` is a decline code."""

    id: int
    vendor: str
    operation: str
    kind: ApiFaultKind
    order_id: str = "*"
    times: int = 1
    answer: Answer = "close"
    delay_seconds: float = 0.0
    code: str = "generic_decline"
    probability: float = 1.0

    def matches(self, vendor: str, operation: str, order_id: str | None) -> bool:
        """Whether this call is meant."""
        return self.vendor == vendor and fnmatchcase(operation, self.operation) and _same_order(self.order_id, order_id)


@dataclass
class WebhookFault:
    """One event whose delivery goes wrong, `times` times; `type` and `order_id` are globs."""

    id: int
    vendor: str
    type: str
    kind: WebhookFaultKind
    order_id: str = "*"
    times: int = 1
    copies: int = 1
    delay_seconds: float = 0.0
    probability: float = 1.0

    def matches(self, vendor: str, event_type: str, order_id: str | None) -> bool:
        """Whether this event is meant."""
        return self.vendor == vendor and fnmatchcase(event_type, self.type) and _same_order(self.order_id, order_id)


@dataclass
class FaultBook:
    """The faults still to come; the first that matches is taken and counted down."""

    rng: random.Random
    api: list[ApiFault] = field(default_factory=list)
    webhook: list[WebhookFault] = field(default_factory=list)
    _last_id: int = 0

    def next_id(self) -> int:
        """A number for the next fault."""
        self._last_id += 1
        return self._last_id

    def take_api(self, vendor: str, operation: str, order_id: str | None, kinds: Collection[str]) -> ApiFault | None:
        """The fault that this call meets, or None; it is used up by one."""
        if not self.api:
            return None
        for fault in self.api:
            if fault.kind in kinds and fault.matches(vendor, operation, order_id) and self._hits(fault.probability):
                fault.times -= 1
                if fault.times <= 0:
                    self.api.remove(fault)
                return fault
        return None

    def take_webhook(self, vendor: str, event_type: str, order_id: str | None) -> WebhookFault | None:
        """The fault that this event meets, or None; it is used up by one."""
        for fault in self.webhook:
            if fault.matches(vendor, event_type, order_id) and self._hits(fault.probability):
                fault.times -= 1
                if fault.times <= 0:
                    self.webhook.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Everything goes right again."""
        self.api.clear()
        self.webhook.clear()

    def _hits(self, probability: float) -> bool:
        return probability >= 1.0 or self.rng.random() < probability


def _same_order(pattern: str, order_id: str | None) -> bool:
    return pattern == "*" or (order_id is not None and fnmatchcase(bare(order_id), bare(pattern)))
