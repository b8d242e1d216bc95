"""What left the house and what was charged for it, apart from the API's objects: the audit's witness."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

HappeningKind = Literal["created", "charged", "charge_returned", "parcel_sent", "parcel_delivered", "parcel_returned"]


@dataclass(frozen=True)
class Happening:
    """One line: `amount` with `currency` for charges, `units` by sync_variant_id for parcels."""

    sequence: int
    at: float
    kind: HappeningKind
    external_id: str
    order: int
    shipment: int | None = None
    units: dict[int, int] = field(default_factory=dict)
    amount: str | None = None
    currency: str | None = None


@dataclass
class ParcelBook:
    """All lines, and those of each external id."""

    lines: list[Happening] = field(default_factory=list)
    _by_external_id: dict[str, list[Happening]] = field(default_factory=lambda: defaultdict(list))

    def record(self, at: float, kind: HappeningKind, external_id: str, order: int, **fields: Any) -> None:
        """Append one line."""
        line = Happening(len(self.lines) + 1, at, kind, external_id, order, **fields)
        self.lines.append(line)
        self._by_external_id[external_id].append(line)

    def of(self, external_id: str) -> list[Happening]:
        """The lines of one external id."""
        return list(self._by_external_id.get(external_id, ()))


def summary(lines: Iterable[Happening]) -> dict[str, Any]:
    """How often an order was made, charged, and how many parcels and units left, arrived and came back."""
    counts: dict[str, int] = defaultdict(int)
    sent: dict[int, int] = defaultdict(int)
    charged: dict[str, Decimal] = defaultdict(Decimal)
    entries = []
    for line in lines:
        counts[line.kind] += 1
        if line.kind == "parcel_sent":
            for variant, quantity in line.units.items():
                sent[variant] += quantity
        if line.amount is not None and line.currency is not None:
            sign = -1 if line.kind == "charge_returned" else 1
            charged[line.currency] += sign * Decimal(line.amount)
        entries.append(asdict(line))
    return {
        "times_created": counts["created"],
        "times_charged": counts["charged"],
        "times_charge_returned": counts["charge_returned"],
        "charged": {currency: f"{amount:.2f}" for currency, amount in charged.items()},
        "parcels_sent": counts["parcel_sent"],
        "parcels_delivered": counts["parcel_delivered"],
        "parcels_returned": counts["parcel_returned"],
        "units_sent": dict(sent),
        "entries": entries,
    }
