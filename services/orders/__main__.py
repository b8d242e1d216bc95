"""`python -m services.orders {serve|relay|consume|jobs|all}`: wiring only."""

import asyncio
from contextlib import AsyncExitStack

from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.process import Component
from services.orders.config import OrdersSettings

# A role imports what it needs and no more: processes start faster and stay smaller (F-62).


def serve(database: Database, settings: OrdersSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The gRPC server, and what wakes those who watch orders."""
    from onefold.orders.v1.orders_service_pb2_grpc import add_OrdersServiceServicer_to_server

    from services.chassis.grpc_server import Server
    from services.orders.placement import Placement
    from services.orders.rpc import OrdersServicer
    from services.orders.watching import Watching

    placement = Placement(database, settings, clock)
    at_exit.push_async_callback(placement.close)
    watching = Watching(database, poll_s=settings.watch_poll_ms / 1000, most=settings.watchers_max)
    server = Server(settings)
    server.add(add_OrdersServiceServicer_to_server, OrdersServicer(database, settings, clock, placement, watching))
    return _Serving(server, watching)


def relay(database: Database, settings: OrdersSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """Outbox to Kafka."""
    from services.chassis.outbox import Relay

    return Relay(settings, "onefold.orders.v1")


def consume(database: Database, settings: OrdersSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """The facts of payments, inventory and fulfillment."""
    from services.chassis.consumer import Consumer
    from services.orders.events import CONSUMER, TOPICS, EventsDoor

    return Consumer(
        name=CONSUMER,
        group="onefold.orders",
        topics=TOPICS,
        database=database,
        settings=settings,
        handler=EventsDoor(clock, settings.policies),
        clock=clock,
    )


def jobs(database: Database, settings: OrdersSettings, clock: Clock, at_exit: AsyncExitStack) -> Component:
    """What time asks for."""
    from services.chassis.jobs import JobRunner
    from services.orders.jobs import OrdersJobs
    from services.orders.placement import Placement

    placement = Placement(database, settings, clock, name="completer")
    at_exit.push_async_callback(placement.close)
    return JobRunner(database, OrdersJobs(database, settings, clock, placement.completer).all())


class _Serving:
    """Server and watching as one component: neither is of use without the other."""

    name = "grpc"

    def __init__(self, server: Component, watching: Component) -> None:
        self._server = server
        self._watching = watching

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; one that dies takes the other along."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.run(stop))
            group.create_task(self._watching.run(stop))

    def ready(self) -> bool:
        """Whether the server takes calls."""
        return self._server.ready()


ROLES = {"serve": serve, "relay": relay, "consume": consume, "jobs": jobs}

if __name__ == "__main__":
    roles.main(OrdersSettings, ROLES)
