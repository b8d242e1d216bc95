"""The door for time: unfinished requests, deadlines, and what is no longer needed.

Why: what nobody asks for any more must still come to an end.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.chassis import idempotency
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.incidents import Incident, open_incidents
from services.chassis.jobs import Job
from services.chassis.partitions import keep_partitions
from services.chassis.telemetry import get_logger
from services.chassis.together import together
from services.orders.config import OrdersSettings
from services.orders.store import reading, roots
from services.orders.store.reading import Due
from services.orders.usecases.completing import Completer
from services.orders.usecases.deadlines import tick_orders
from services.orders.usecases.facts import CONSUMER

log = get_logger(__name__)


class OrdersJobs:
    """What time asks of orders; each run is bounded and says how much it did."""

    def __init__(self, database: Database, settings: OrdersSettings, clock: Clock, completer: Completer) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._completer = completer

    def all(self) -> list[Job]:
        """The jobs for the runner."""
        interval = timedelta(milliseconds=self._settings.job_interval_ms)
        return [
            Job("orders-completer", self.complete, interval),
            Job("orders-deadlines", self.keep_deadlines, interval),
            Job("orders-purge", self.purge, timedelta(minutes=1)),
            Job("orders-partitions", self.keep_partitions, timedelta(days=1)),
        ]

    async def complete(self) -> int:
        """Finish requests whose try ended without an answer (S-6)."""
        return await self._completer.run_once()

    async def keep_deadlines(self) -> int:
        """Expire unpaid orders, remind of undecided cancellations, end backorders (R-2.12, S-8).

        Orders are picked without locks; those with parked events are left alone, for what is parked may be the money
        that the deadline waits for (S-27).
        """
        now = self._clock.now()
        due = await reading.due(self._database, now, CONSUMER, self._settings.deadlines_batch_max)
        moved = await together(
            due, lambda some: self._tick(some, now), lambda one, error: self._put_off(one, error, now)
        )
        return sum(moved)

    async def _tick(self, due: Sequence[Due], now: datetime) -> int:
        return await self._database.run(lambda tx: tick_orders(tx, due, now, self._settings.policies))

    async def _put_off(self, due: Due, error: Exception, now: datetime) -> int:
        """What fails alone is an incident and is tried again later: it must not stand before others that are due."""
        log.error("deadline_failed", order_id=due.order_id, exc_info=error)
        later = now + timedelta(milliseconds=self._settings.deadline_retry_ms)

        async def body(tx: Transaction) -> None:
            await roots.postpone(tx, due.order_id, now, later)
            await open_incidents(tx, [Incident("deadline_failed", due.order_id, now, order_id=due.order_id)])

        await self._database.run(body)
        return 0

    async def purge(self) -> int:
        """Delete request ids that ended a day ago; the order itself knows its request for ever (S-5)."""
        retention = timedelta(hours=self._settings.request_retention_hours)
        limit = self._settings.purge_batch_max
        return await self._database.run(lambda tx: idempotency.purge(tx, retention, limit))

    async def keep_partitions(self) -> int:
        """Make partitions for what is to come and drop old ones (S-28)."""
        return await keep_partitions(self._database)
