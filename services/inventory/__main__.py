"""`python -m services.inventory {serve|relay|consume|jobs|all}`: wiring only."""

from contextlib import AsyncExitStack

from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.process import Component
from services.inventory.config import InventorySettings

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


def serve(database: Database, settings: InventorySettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The gRPC server."""
    from onefold.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server

    from services.chassis.grpc_server import Server
    from services.inventory.rpc import InventoryServicer

    servicer = InventoryServicer(database, settings, clock)
    at_exit.push_async_callback(servicer.close)
    server = Server(settings)
    server.add(add_InventoryServiceServicer_to_server, servicer)
    return server


def relay(database: Database, settings: InventorySettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Outbox to Kafka."""
    from services.chassis.outbox import Relay

    return Relay(settings, "onefold.inventory.v1")


def consume(database: Database, settings: InventorySettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The events of orders."""
    from services.chassis.consumer import Consumer
    from services.inventory.events import CONSUMER, TOPICS, handler

    return Consumer(
        name=CONSUMER,
        group="onefold.inventory",
        topics=TOPICS,
        database=database,
        settings=settings,
        handler=handler(clock),
        clock=clock,
    )


def jobs(database: Database, settings: InventorySettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """What time asks for."""
    from services.chassis.jobs import JobRunner
    from services.inventory.jobs import InventoryJobs

    return JobRunner(database, InventoryJobs(database, settings, clock).all())


ROLES = {"serve": serve, "relay": relay, "consume": consume, "jobs": jobs}

if __name__ == "__main__":
    roles.main(InventorySettings, ROLES)
