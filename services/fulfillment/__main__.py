"""`python -m services.fulfillment {serve|relay|consume|jobs|all}`: wiring only."""

from contextlib import AsyncExitStack
from datetime import timedelta

from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.process import Component
from services.fulfillment.config import FulfillmentSettings
from services.fulfillment.domain import Rules
from services.fulfillment.providers.printful import PrintfulProvider
from services.fulfillment.usecases import Context, provider_calls

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


def context_of(settings: FulfillmentSettings, clock: Clock, at_exit: AsyncExitStack) -> Context:
    """The provider and what every use case needs; closed at exit."""
    provider = PrintfulProvider(
        settings.printful_token.get_secret_value(),
        store_id=settings.printful_store_id,
        api_base=settings.printful_api_base,
        timeout=settings.provider_timeout,
    )
    at_exit.push_async_callback(provider.close)
    rules = Rules(tuple(timedelta(milliseconds=pause) for pause in settings.try_pauses_ms))
    return Context(provider, clock, rules, timedelta(milliseconds=settings.watch_every_ms))


def serve(database: Database, settings: FulfillmentSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The gRPC server."""
    from onefold.fulfillment.v1.fulfillment_service_pb2_grpc import add_FulfillmentServiceServicer_to_server

    from services.chassis.grpc_server import Server
    from services.fulfillment.rpc import FulfillmentServicer

    servicer = FulfillmentServicer(database, settings, context_of(settings, clock, at_exit))
    at_exit.push_async_callback(servicer.close)
    server = Server(settings)
    server.add(add_FulfillmentServiceServicer_to_server, servicer)
    return server


def relay(database: Database, settings: FulfillmentSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Outbox to Kafka."""
    from services.chassis.outbox import Relay

    return Relay(settings, "onefold.fulfillment.v1")


def consume(database: Database, settings: FulfillmentSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The events of orders."""
    from services.chassis.consumer import Consumer
    from services.fulfillment.events import CONSUMER, TOPICS, handler

    return Consumer(
        name=CONSUMER,
        group="onefold.fulfillment",
        topics=TOPICS,
        database=database,
        settings=settings,
        handler=handler(context_of(settings, clock, at_exit)),
        clock=clock,
    )


def jobs(database: Database, settings: FulfillmentSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """What time asks for."""
    from services.chassis.grpc_client import channel
    from services.chassis.jobs import JobRunner
    from services.chassis.operations import OperationRunner
    from services.fulfillment.jobs import FulfillmentJobs
    from services.fulfillment.readers import Owners

    context = context_of(settings, clock, at_exit)
    token = settings.token.get_secret_value()
    orders = channel(settings.orders_target, token, retry_unavailable=True)
    inventory = channel(settings.inventory_target, token, retry_unavailable=True)
    at_exit.push_async_callback(orders.close)
    at_exit.push_async_callback(inventory.close)
    runner = OperationRunner(
        database,
        http_timeout=settings.provider_timeout,
        clock=clock,
        calls=provider_calls(database, context),
        max_in_flight=context.provider.max_in_flight,
    )
    at_exit.push_async_callback(runner.close)
    reader = Owners(orders, inventory, timeout_s=settings.call_timeout_ms / 1000)
    return JobRunner(database, FulfillmentJobs(database, settings, context, runner, reader).all())


ROLES = {"serve": serve, "relay": relay, "consume": consume, "jobs": jobs}

if __name__ == "__main__":
    roles.main(FulfillmentSettings, ROLES)
