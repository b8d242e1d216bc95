"""What places orders, put together: the partners, the phases, and the Batchers in front of them.

Why: the door for calls and the completer must go exactly the same way.
"""

from datetime import timedelta
from typing import Final, Self

import grpc.aio

from services.chassis.batch import Batcher, batcher_for
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.grpc_client import channel
from services.orders.config import OrdersSettings
from services.orders.messages import resumed_command_of
from services.orders.partners import Inventory, Payments
from services.orders.usecases.commands import PlaceOrder
from services.orders.usecases.completing import Completer
from services.orders.usecases.paying import Paying
from services.orders.usecases.placing import Placed, Placing

FLUSHES: Final = 4  # one decides while others wait for inventory or for a commit
_MS: Final = 1000


class Placement:
    """`placing` takes commands through the phases up to the order, `paying` from there to the answer.

    Several may stand in one process; `name` tells their metrics apart.
    """

    def __init__(
        self, database: Database, settings: OrdersSettings, clock: Clock, *, name: str = "create_order"
    ) -> None:
        token = settings.token.get_secret_value()
        self._settings = settings
        self._doors: list[Batcher[PlaceOrder, Placed]] = []
        self._channels: list[grpc.aio.Channel] = [
            channel(settings.inventory_target, token),
            channel(settings.payments_target, token),
        ]
        self.inventory = Inventory(self._channels[0], settings.inventory_timeout_ms / _MS)
        payments = Payments(
            self._channels[1],
            settings.payments_timeout_ms / _MS,
            read_timeout_s=settings.payments_read_timeout_ms / _MS,
            in_flight_max=settings.payments_in_flight_max,
            waiting_max=settings.payments_waiting_max,
        )
        self.placing = Placing(
            database,
            self.inventory,
            clock,
            policies=settings.policies,
            shipping_fees=settings.shipping_fees,
            lease=settings.lease,
        )
        self.paying = Paying(database, payments, clock, settings, name=name)
        self.completer = Completer(
            database,
            self.placing,
            self.paying,
            self.inventory,
            command_of=resumed_command_of,
            lease=settings.lease,
            tries_max=settings.placing_tries_max,
            abandon_after=timedelta(milliseconds=settings.placing_abandon_after_ms),
            batch_max=settings.completer_batch_max,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open_door(self) -> Batcher[PlaceOrder, Placed]:
        """The queue in front of `placing`, for whoever takes calls; metrics tell of one such queue per process."""
        door = batcher_for(self._settings, self.placing.flush, name="create_order", flushes=FLUSHES)
        self._doors.append(door)
        return door

    async def close(self) -> None:
        """Finish what waits, then hang up."""
        for door in self._doors:
            await door.close()
        await self.paying.close()
        for each in self._channels:
            await each.close()
