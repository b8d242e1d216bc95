"""`python -m services.payments {serve|relay|consume|jobs|all}`: wiring only."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.chassis.clock import Clock, SystemClock
from services.chassis.config import load
from services.chassis.db import Database
from services.chassis.operations import OperationRunner
from services.chassis.process import Component, run
from services.chassis.telemetry import configure_logging
from services.payments.config import PaymentsSettings
from services.payments.providers.stripe import StripeProvider
from services.payments.usecases.calls import provider_calls
from services.payments.usecases.decisions import Context

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


@dataclass(frozen=True, slots=True)
class Parts:
    """What the roles share."""

    database: Database
    settings: PaymentsSettings
    context: Context
    runner: OperationRunner


def assemble(database: Database, settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Parts:
    """Provider, context and operation runner on an open database."""
    provider = StripeProvider(
        settings.stripe_secret_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        public_origin=settings.public_origin,
        timeout=settings.provider_timeout,
    )
    context = Context(provider, clock, settings.rules)
    runner = OperationRunner(
        database,
        http_timeout=settings.provider_timeout,
        clock=clock,
        calls=provider_calls(context),
        max_in_flight=provider.max_in_flight,
    )
    at_exit.push_async_callback(provider.close)
    at_exit.push_async_callback(runner.close)
    return Parts(database, settings, context, runner)


def serve(parts: Parts, at_exit: AsyncExitStack) -> Component:
    """The gRPC server."""
    from onefold.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server

    from services.chassis.grpc_server import Server
    from services.payments.rpc import PaymentsServicer

    servicer = PaymentsServicer(parts.database, parts.settings, parts.context, parts.runner)
    at_exit.push_async_callback(servicer.close)
    server = Server(parts.settings)
    server.add(add_PaymentsServiceServicer_to_server, servicer)
    return server


def relay(parts: Parts, at_exit: AsyncExitStack) -> Component:
    """Outbox to Kafka."""
    from services.chassis.outbox import Relay

    return Relay(parts.settings, "onefold.payments.v1")


def consume(parts: Parts, at_exit: AsyncExitStack) -> Component:
    """The events of orders."""
    from services.chassis.consumer import Consumer
    from services.payments.events import CONSUMER, TOPICS, handler

    return Consumer(
        name=CONSUMER,
        group="onefold.payments",
        topics=TOPICS,
        database=parts.database,
        settings=parts.settings,
        handler=handler(parts.context),
        clock=parts.context.clock,
    )


def jobs(parts: Parts, at_exit: AsyncExitStack) -> Component:
    """What time asks for."""
    from services.chassis.jobs import JobRunner
    from services.payments.jobs import PaymentsJobs

    return JobRunner(parts.database, PaymentsJobs(parts.database, parts.settings, parts.context, parts.runner).all())


ROLES = {"serve": serve, "relay": relay, "consume": consume, "jobs": jobs}


async def work(role: str, settings: PaymentsSettings) -> None:
    """Run one role, or all of them, until SIGTERM."""
    async with AsyncExitStack() as at_exit:
        database = await Database.connect(settings)
        at_exit.push_async_callback(database.close)
        parts = assemble(database, settings, SystemClock(), at_exit)
        chosen = ROLES.values() if role == "all" else (ROLES[role],)
        await run([make(parts, at_exit) for make in chosen], settings)


def main() -> None:
    """Read the role and the settings, then work."""
    parser = argparse.ArgumentParser(prog="services.payments", description=__doc__)
    parser.add_argument("role", choices=[*ROLES, "all"])
    role = parser.parse_args().role
    settings = load(PaymentsSettings)
    configure_logging("payments", settings.log_level)
    asyncio.run(work(role, settings))


if __name__ == "__main__":
    main()
