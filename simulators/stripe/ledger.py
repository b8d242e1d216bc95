"""Every movement of money at Stripe, append-only, apart from the API's objects: audits need a witness."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..shared.ids import bare

MovementKind = Literal[
    "authorized", "released", "captured", "refunded", "refund_failed", "dispute_withdrawn", "dispute_reinstated"
]
# How a movement changes what the merchant holds.
_SIGN = {"captured": 1, "refunded": -1, "refund_failed": 1, "dispute_withdrawn": -1, "dispute_reinstated": 1}


@dataclass(frozen=True)
class Movement:
    """One movement: minor units and lower-case currency; `object_id` is the charge, refund or dispute it belongs to."""

    sequence: int
    at: float
    kind: MovementKind
    order_id: str | None
    payment_intent: str
    object_id: str
    amount_minor: int
    currency: str


@dataclass
class Ledger:
    """All movements, and those of each order."""

    movements: list[Movement] = field(default_factory=list)
    _by_order: dict[str, list[Movement]] = field(default_factory=lambda: defaultdict(list))

    def record(
        self,
        at: float,
        kind: MovementKind,
        order_id: str | None,
        intent: dict[str, Any],
        object_id: str,
        amount_minor: int,
    ) -> None:
        """Append one movement of an intent's money."""
        sequence = len(self.movements) + 1
        movement = Movement(sequence, at, kind, order_id, intent["id"], object_id, amount_minor, intent["currency"])
        self.movements.append(movement)
        if order_id is not None:
            self._by_order[bare(order_id)].append(movement)

    def of_order(self, order_id: str) -> list[Movement]:
        """The movements of one order, in order of time."""
        return list(self._by_order.get(bare(order_id), ()))


def totals(movements: Iterable[Movement]) -> dict[str, Any]:
    """Sums per currency and how often money was taken."""
    sums: dict[str, dict[str, int]] = {name: defaultdict(int) for name in ("captured", "refunded", "disputed", "net")}
    times = 0
    lines = []
    for movement in movements:
        amount, currency = movement.amount_minor, movement.currency
        if movement.kind == "captured":
            times += 1
            sums["captured"][currency] += amount
        elif movement.kind in ("refunded", "refund_failed"):
            sums["refunded"][currency] -= _SIGN[movement.kind] * amount
        elif movement.kind in ("dispute_withdrawn", "dispute_reinstated"):
            sums["disputed"][currency] -= _SIGN[movement.kind] * amount
        if movement.kind in _SIGN:
            sums["net"][currency] += _SIGN[movement.kind] * amount
        lines.append(asdict(movement))
    return {"times_charged": times, "entries": lines, **{name: dict(sum_) for name, sum_ in sums.items()}}
