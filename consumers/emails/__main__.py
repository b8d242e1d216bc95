"""`python -m consumers.emails [consume|jobs|all]`: wiring only."""

from contextlib import AsyncExitStack

from consumers.emails.config import EmailsSettings
from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.process import Component

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


def consume(database: Database, settings: EmailsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Events that somebody should hear of become planned mails."""
    from consumers.emails.events import CONSUMER, TOPICS, handler
    from services.chassis.consumer import Consumer

    return Consumer(
        name=CONSUMER,
        group="onefold.emails",
        topics=TOPICS,
        database=database,
        settings=settings,
        handler=handler(clock, settings.event_age_max),
        clock=clock,
    )


def jobs(database: Database, settings: EmailsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Planned mails are sent."""
    from consumers.emails.jobs import EmailsJobs
    from consumers.emails.readers import Orders
    from services.chassis.grpc_client import channel
    from services.chassis.jobs import JobRunner

    orders = channel(settings.orders_target, settings.token.get_secret_value(), retry_unavailable=True)
    at_exit.push_async_callback(orders.close)
    reader = Orders(orders, timeout_s=settings.call_timeout_ms / 1000)
    work = EmailsJobs(database, settings, clock, reader)
    at_exit.push_async_callback(work.close)
    return JobRunner(database, work.all())


ROLES = {"consume": consume, "jobs": jobs}

if __name__ == "__main__":
    roles.main(EmailsSettings, ROLES, default=roles.ALL)
