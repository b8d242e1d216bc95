"""`python -m services.payments {serve|relay|consume|jobs|all}`: wiring only."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.process import Component
from services.payments.config import PaymentsSettings

if TYPE_CHECKING:
    from services.chassis.operations import OperationRunner
    from services.payments.usecases.decisions import Context

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


def serve(database: Database, settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The gRPC server."""
    from onefold.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server

    from services.chassis.grpc_server import Server
    from services.payments.rpc import PaymentsServicer

    context = context_of(settings, clock, at_exit)
    servicer = PaymentsServicer(database, settings, context, _runner(database, settings, context, at_exit))
    at_exit.push_async_callback(servicer.close)
    server = Server(settings)
    server.add(add_PaymentsServiceServicer_to_server, servicer)
    return server


def relay(database: Database, settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Outbox to Kafka."""
    from services.chassis.outbox import Relay

    return Relay(settings, "onefold.payments.v1")


def consume(database: Database, settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The events of orders."""
    from services.chassis.consumer import Consumer
    from services.payments.events import CONSUMER, TOPICS, handler

    return Consumer(
        name=CONSUMER,
        group="onefold.payments",
        topics=TOPICS,
        database=database,
        settings=settings,
        handler=handler(context_of(settings, clock, at_exit)),
        clock=clock,
    )


def jobs(database: Database, settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """What time asks for."""
    from services.chassis.jobs import JobRunner
    from services.payments.jobs import PaymentsJobs

    context = context_of(settings, clock, at_exit)
    runner = _runner(database, settings, context, at_exit)
    return JobRunner(database, PaymentsJobs(database, settings, context, runner).all())


def context_of(settings: PaymentsSettings, clock: Clock, at_exit: AsyncExitStack) -> Context:
    """The provider, the clock and the rules."""
    from services.payments.providers.stripe import StripeProvider
    from services.payments.usecases.decisions import Context

    provider = StripeProvider(
        settings.stripe_secret_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        public_origin=settings.public_origin,
        timeout=settings.provider_timeout,
    )
    at_exit.push_async_callback(provider.close)
    return Context(provider, clock, settings.rules)


def _runner(
    database: Database, settings: PaymentsSettings, context: Context, at_exit: AsyncExitStack
) -> OperationRunner:
    """Calls to the provider."""
    from services.chassis.operations import OperationRunner
    from services.payments.usecases.calls import provider_calls

    runner = OperationRunner(
        database,
        http_timeout=settings.provider_timeout,
        clock=context.clock,
        calls=provider_calls(context),
        max_in_flight=context.provider.max_in_flight,
    )
    at_exit.push_async_callback(runner.close)
    return runner


ROLES = {"serve": serve, "relay": relay, "consume": consume, "jobs": jobs}

if __name__ == "__main__":
    roles.main(PaymentsSettings, ROLES)
