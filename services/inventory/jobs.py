"""The door for time: holds lapse, and what is no longer needed is deleted."""

from datetime import timedelta

from services.chassis import idempotency
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.jobs import Job
from services.chassis.partitions import keep_partitions
from services.inventory import usecases
from services.inventory.config import InventorySettings
from services.inventory.events import CONSUMER
from services.inventory.store import orders

PURGE_BATCH = 1000


class InventoryJobs:
    """What time asks of inventory; each run is bounded and says how much it did."""

    def __init__(self, database: Database, settings: InventorySettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    def all(self) -> list[Job]:
        """The jobs for the runner."""
        interval = timedelta(milliseconds=self._settings.job_interval_ms)
        return [
            Job("inventory-lapse-holds", self.lapse_holds, interval),
            Job("inventory-purge", self.purge, timedelta(minutes=1)),
            Job("inventory-partitions", self.keep_partitions, timedelta(days=1)),
        ]

    async def lapse_holds(self) -> int:
        """Give back tentative holds whose time is over (S-7); orders with parked events are left alone (S-27)."""
        now = self._clock.now()
        order_ids = await orders.orders_to_lapse(self._database, CONSUMER, now, self._settings.lapse_batch_max)
        if not order_ids:
            return 0
        return await self._database.run(lambda tx: usecases.lapse_holds(tx, order_ids, now))

    async def keep_partitions(self) -> int:
        """Make partitions for what is to come and drop old ones (S-28)."""
        return await keep_partitions(self._database)

    async def purge(self) -> int:
        """Delete finished request ids, and roots that no order came to own."""
        before = self._clock.now() - timedelta(days=self._settings.abandoned_retention_days)
        retention = timedelta(hours=self._settings.request_retention_hours)

        async def delete(tx: Transaction) -> int:
            purged = await idempotency.purge(tx, retention, PURGE_BATCH)
            return purged + await orders.delete_abandoned(tx, before, PURGE_BATCH)

        return await self._database.run(delete)
