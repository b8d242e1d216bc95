"""`python -m services.inventory {serve|relay|consume|jobs|all}`: wiring only."""

import argparse
import asyncio
from contextlib import AsyncExitStack

from services.chassis.clock import Clock, SystemClock
from services.chassis.config import load
from services.chassis.db import Database
from services.chassis.process import Component, run
from services.chassis.telemetry import configure_logging
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


async def work(role: str, settings: InventorySettings) -> None:
    """Run one role, or all of them, until SIGTERM."""
    clock = SystemClock()
    async with AsyncExitStack() as at_exit:
        database = await Database.connect(settings)
        at_exit.push_async_callback(database.close)
        chosen = ROLES.values() if role == "all" else (ROLES[role],)
        await run([make(database, settings, clock, at_exit) for make in chosen], settings)


def main() -> None:
    """Read the role and the settings, then work."""
    parser = argparse.ArgumentParser(prog="services.inventory", description=__doc__)
    parser.add_argument("role", choices=[*ROLES, "all"])
    role = parser.parse_args().role
    settings = load(InventorySettings)
    configure_logging("inventory", settings.log_level)
    asyncio.run(work(role, settings))


if __name__ == "__main__":
    main()
