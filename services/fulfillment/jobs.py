"""The door for time: orders to prepare, calls that are due, webhooks to apply, objects to look at again.

Why: what a crash, a lost webhook or a provider that was away left behind is finished by one of these (R-4.7, S-22).
"""

from datetime import timedelta
from typing import Final

from services.chassis import idempotency
from services.chassis.db import Database, Transaction
from services.chassis.jobs import Job
from services.chassis.operations import PLANNED, OperationRunner
from services.chassis.partitions import KEEP_DAYS, keep_partitions
from services.fulfillment import domain, usecases
from services.fulfillment.config import FulfillmentSettings
from services.fulfillment.events import CONSUMER
from services.fulfillment.store import fulfillments, webhooks

PURGE_BATCH: Final = 1_000
WATCH_BATCH: Final = 20  # looks, of two calls each: a third of what the provider allows a minute (F-18)


class FulfillmentJobs:
    """Every job of fulfillment; each `run_once` is a bounded piece of work."""

    def __init__(
        self,
        database: Database,
        settings: FulfillmentSettings,
        context: usecases.Context,
        runner: OperationRunner,
        reader: usecases.OrderReader,
    ) -> None:
        self._database = database
        self._settings = settings
        self._context = context
        self._runner = runner
        self._reader = reader
        self._limit = settings.work_batch_max
        self._looks = usecases.Looks()

    def all(self) -> list[Job]:
        """The jobs for the runner."""
        pause = timedelta(milliseconds=self._settings.job_interval_ms)
        return [
            Job("fulfillment-prepare", self.prepare, pause, woken_by=usecases.QUEUED),
            Job("fulfillment-operations", self.run_operations, pause, woken_by=PLANNED),
            Job("fulfillment-webhooks", self.apply_webhooks, pause, woken_by=usecases.HINTED),
            Job("fulfillment-try-again", self.try_again, pause),
            Job("fulfillment-watch", self._watch_some, max(pause, self._context.watch_every / 60)),
            Job("fulfillment-purge", self.purge, timedelta(minutes=1)),
            Job("fulfillment-partitions", self.keep_partitions, timedelta(days=1)),
        ]

    async def prepare(self) -> int:
        """Queued fulfilments whose time has come."""
        return await usecases.prepare(self._database, self._context, self._reader, CONSUMER, self._limit)

    async def run_operations(self) -> int:
        """Begin the calls to the provider that are due."""
        return await self._runner.start_due(self._limit)

    async def apply_webhooks(self) -> int:
        """What stored webhooks hint at."""
        return await usecases.apply_hints(self._database, self._context, self._looks, self._limit)

    async def try_again(self) -> int:
        """Failed calls whose next try is due."""
        order_ids = await fulfillments.to_try(self._database, CONSUMER, self._context.clock.now(), self._limit)
        steps = [usecases.Step(order_id, domain.TimePassed()) for order_id in order_ids]
        if steps:
            await self._database.run(lambda tx: usecases.apply(tx, self._context, steps))
        return len(steps)

    async def watch(self) -> int:
        """Objects that no webhook told of for long."""
        return await usecases.watch(self._database, self._context, self._looks, min(self._limit, WATCH_BATCH))

    async def _watch_some(self) -> int:
        """However many are left, it is not run again at once: the provider's calls are for fresh orders first."""
        await self.watch()
        return 0

    async def purge(self) -> int:
        """Finished request ids and applied webhooks that are old enough (S-28)."""
        before = self._context.clock.now() - timedelta(days=KEEP_DAYS)
        retention = timedelta(hours=self._settings.request_retention_hours)

        async def delete(tx: Transaction) -> int:
            purged = await idempotency.purge(tx, retention, PURGE_BATCH)
            return purged + await webhooks.purge(tx, before, PURGE_BATCH)

        return await self._database.run(delete)

    async def keep_partitions(self) -> int:
        """Make partitions for what is to come and drop old ones (S-28)."""
        return await keep_partitions(self._database)
