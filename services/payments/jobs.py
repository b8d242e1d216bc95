"""The door for time: calls that are due, questions to the provider, unmatched events, the reconciler.

Why: what a crash, a lost webhook or a late order left behind is finished by one of these (R-1.6, R-1.13, S-9).
"""

from datetime import timedelta
from typing import Final

from services.chassis.db import Database
from services.chassis.jobs import Job
from services.chassis.operations import PLANNED, Declined, OperationRunner, Retryable, Unknown
from services.chassis.partitions import keep_partitions
from services.chassis.telemetry import get_logger
from services.payments.config import PaymentsSettings
from services.payments.store import webhooks as stored
from services.payments.usecases import followup, reconcile, unmatched, webhooks
from services.payments.usecases.decisions import Context
from services.payments.usecases.reconcile import Batch

log = get_logger(__name__)
_LIMIT: Final = 100
_PURGE_LIMIT: Final = 1_000
_PURGE_INTERVAL: Final = timedelta(hours=1)
_PARTITIONS_INTERVAL: Final = timedelta(days=1)
_RUNS_MISSED: Final = 3  # of the reconciler, then a person is told


class PaymentsJobs:
    """Every job of payments; each `run_once` is a bounded piece of work."""

    def __init__(
        self, database: Database, settings: PaymentsSettings, context: Context, runner: OperationRunner
    ) -> None:
        self._database = database
        self._settings = settings
        self._context = context
        self._runner = runner

    def all(self) -> list[Job]:
        """The jobs with their pauses."""
        pause = timedelta(milliseconds=self._settings.job_interval_ms)
        operations = timedelta(milliseconds=self._settings.operation_interval_ms)
        reconciler = timedelta(milliseconds=self._settings.reconcile_interval_ms)
        return [
            Job("payments-operations", self.run_operations, operations, woken_by=PLANNED),
            Job("payments-ask-provider", self.ask_provider, pause),
            Job("payments-match-webhooks", self.match_webhooks, pause),
            Job("payments-raise-unmatched", self.raise_unmatched, pause),
            Job("payments-reconcile", self.reconcile, reconciler),
            Job("payments-purge", self.purge_webhooks, _PURGE_INTERVAL),
            Job("payments-partitions", self.keep_partitions, _PARTITIONS_INTERVAL),
        ]

    async def run_operations(self) -> int:
        """Begin the calls to the provider that are due."""
        return await self._runner.start_due(_LIMIT)

    async def ask_provider(self) -> int:
        """Payables whose provider must be asked."""
        return await followup.ask(self._database, self._context, _LIMIT)

    async def match_webhooks(self) -> int:
        """Unmatched events whose order has appeared."""
        return await webhooks.match(self._database, self._context, _LIMIT)

    async def raise_unmatched(self) -> int:
        """Unmatched events whose order did not appear in time."""
        after = timedelta(milliseconds=self._settings.unmatched_after_ms)
        return await unmatched.announce(self._database, self._context, after, _LIMIT)

    async def reconcile(self) -> int:
        """The provider's lists against ours. Returns 0: the next run is due after the interval, whatever was found.

        A provider that is away does not make this process unready: it is an incident, and the next run looks farther.
        """
        window = timedelta(milliseconds=self._settings.reconcile_window_ms)
        overdue = _RUNS_MISSED * timedelta(milliseconds=self._settings.reconcile_interval_ms)
        try:
            done = await reconcile.go_on(self._database, self._context, self._intake, window, overdue)
        except (Declined, Retryable, Unknown) as error:
            log.warning("reconciler_stopped", error=repr(error))
            return 0
        log.info(
            "reconciled",
            events_recovered=done.events_recovered,
            orphans_ended=done.orphans_ended,
            incidents=done.incidents,
        )
        return 0

    async def purge_webhooks(self) -> int:
        """Processed webhooks that are old enough."""
        keep = timedelta(days=self._settings.webhook_retention_days)
        now = self._context.clock.now()
        return await self._database.run(lambda tx: stored.purge(tx, now, keep, _PURGE_LIMIT))

    async def keep_partitions(self) -> int:
        """Make partitions for what is to come and drop old ones (S-28)."""
        return await keep_partitions(self._database)

    async def _intake(self, batch: Batch) -> list[webhooks.Result]:
        """One by one: a bad event must not stop the others, and the reconciler is in no hurry."""
        return [result for one in batch for result in await webhooks.ingest(self._database, self._context, [one])]
