"""A small shop on a real database: what the component tests of inventory share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf.symbol_database import Default

from services.chassis.clock import ManualClock
from services.chassis.db import Database
from services.chassis.ids import new_id
from services.chassis.inbox import IncomingEvent, Outcome
from services.inventory import domain, usecases
from services.inventory.events import handler

HOLD = timedelta(minutes=10)


@dataclass
class Shop:
    """Use cases, each in a transaction of its own."""

    db: Database
    clock: ManualClock
    offsets: int = field(default=0)

    async def stocked(self, sku: str, **units: int) -> str:
        """An item at 10.00 GBP with units by location, for example `london=10`."""
        item = domain.Item(sku, f"Name of {sku}", {"GBP": 1000, "JPY": 1900})
        await self.db.run(lambda tx: usecases.upsert_items(tx, [item], "", self.clock.now()))
        changes = [domain.Adjustment(sku, location, count) for location, count in units.items()]
        if changes:
            await self.adjust(*changes)
        return sku

    async def adjust(self, *changes: domain.Adjustment) -> list[domain.StockRow]:
        return await self.db.run(
            lambda tx: usecases.adjust_stock(
                tx, changes, reason="delivery", actor="test", caused_by="", now=self.clock.now()
            )
        )

    async def reserve(
        self, *wanted: tuple[str, Mapping[str, int]], number: int = 1
    ) -> list[domain.Hold | domain.Refused | None]:
        """Reserve for several orders in one batch: pairs of order id and units by SKU."""
        commands = [usecases.Reservation(order_id, number, lines(units), "GBP") for order_id, units in wanted]
        return await self.change(commands)

    async def change(
        self, commands: Sequence[usecases.Reservation | usecases.Undo]
    ) -> list[domain.Hold | domain.Refused | None]:
        now = self.clock.now()
        return await self.db.run(
            lambda tx: usecases.change_reservations(tx, commands, now, hold=HOLD, units_per_sku_max=999)
        )

    async def apply(self, *commands: domain.Command) -> list[domain.Decision]:
        return await self.db.run(lambda tx: usecases.apply_to_orders(tx, commands, self.clock.now()))

    async def tell(self, *messages: Any) -> list[Outcome]:
        """Let the door for events have these messages, in one transaction without a claim."""
        events = [self.event(message) for message in messages]
        outcomes = await self.db.run(lambda tx: handler(self.clock)(tx, events))
        return [outcomes[event.id] for event in events]

    def event(self, message: Any) -> IncomingEvent:
        self.offsets += 1
        return IncomingEvent(
            id=new_id(),
            type=message.DESCRIPTOR.full_name,
            source="onefold/orders",
            time=self.clock.now(),
            key=message.context.order_id,  # noqa: B009: not every message has one
            topic="onefold.orders.v1",
            partition=0,
            offset=self.offsets,
            traceparent="",
            payload=message.SerializeToString(),
        )

    async def level(self, sku: str, location: str = "london") -> tuple[int, int, int]:
        """On hand, reserved, shipped."""
        row = await self.db.fetchrow(
            "SELECT on_hand, reserved, shipped FROM stock WHERE sku = $1 AND location = $2", sku, location
        )
        return tuple(row) if row else (0, 0, 0)

    async def hold_states(self, order_id: str) -> list[str]:
        rows = await self.db.fetch("SELECT state FROM holds WHERE order_id = $1 ORDER BY reservation", order_id)
        return [row["state"] for row in rows]

    async def told(self, *types: str) -> list[Any]:
        """Events in the outbox by their order; all, or those of these types."""
        rows = await self.db.fetch("SELECT type, payload FROM outbox ORDER BY position")
        return [
            Default().GetSymbol(row["type"]).FromString(row["payload"])
            for row in rows
            if not types or row["type"].rpartition(".")[2] in types
        ]

    async def breaches(self) -> list[Any]:
        """Levels that differ from the sum of their ledger, or from what is open in the holds (R-3.3)."""
        return [tuple(row) for row in await self.db.fetch(BREACHES)]


BREACHES = """
SELECT s.sku, s.location, s.on_hand, s.reserved, s.shipped, l.on_hand, l.reserved, l.shipped, h.open
  FROM stock s
  LEFT JOIN LATERAL (
      SELECT coalesce(sum(on_hand_delta), 0) AS on_hand, coalesce(sum(reserved_delta), 0) AS reserved,
             coalesce(sum(shipped_delta), 0) AS shipped
        FROM stock_ledger WHERE sku = s.sku AND location = s.location) l ON true
  LEFT JOIN LATERAL (
      SELECT coalesce(sum(reserved - shipped - released), 0) AS open
        FROM hold_lines WHERE sku = s.sku AND location = s.location) h ON true
 WHERE (s.on_hand, s.reserved, s.shipped) IS DISTINCT FROM (l.on_hand, l.reserved, l.shipped) OR h.open <> s.reserved
"""


def lines(units: Mapping[str, int]) -> tuple[domain.WantedLine, ...]:
    """One line per SKU, numbered from 1."""
    return tuple(domain.WantedLine(line, sku, count) for line, (sku, count) in enumerate(units.items(), start=1))


def units_of(units: Mapping[str, int]) -> tuple[domain.LineQuantity, ...]:
    """The same as quantities of lines."""
    return tuple(domain.LineQuantity(line, sku, count) for line, (sku, count) in enumerate(units.items(), start=1))
