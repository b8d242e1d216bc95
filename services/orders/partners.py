"""Calls to inventory and payments: the two that a caller of orders waits for.

Why: what must not be lost is an event; these calls only reserve and begin a payment, and each can be repeated (S-2).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio
from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_service_pb2 as inventory_pb2
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as payments_service
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from services.chassis.errors import (
    Code,
    DependencyUnavailable,
    DomainError,
    Overloaded,
    from_refusal,
    from_rpc_error,
)
from services.orders.usecases.commands import HeldLine, PaymentOrder, PaymentWay, PlaceOrder

UNDONE: Final = "RESERVATION_UNDONE"
PLACED: Final = "ORDER_PLACED"
_AT_ONCE: Final = 256
_LINES_AT_ONCE: Final = 2_500  # an answer names each line's item, and must stay below what a message can hold
_AWAY: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED, Code.CANCELLED)
_PAYABLE: Final = frozenset(
    {
        payments_pb2.ATTEMPT_STATE_PAYABLE,
        payments_pb2.ATTEMPT_STATE_REQUIRES_ACTION,
        payments_pb2.ATTEMPT_STATE_PROCESSING,
        payments_pb2.ATTEMPT_STATE_AUTHORIZED,
    }
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One order's wish for stock, by its reservation number (S-6)."""

    command: PlaceOrder
    order_id: str
    number: int


class Inventory:
    """Inventory's calls; `timeout_s` is their deadline."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        self._stub = InventoryServiceStub(channel)
        self._timeout_s = timeout_s

    async def reserve(self, reservations: Sequence[Reservation]) -> list[tuple[HeldLine, ...] | DomainError]:
        """Hold stock for all, by one call if they fit; lines with frozen names and prices, or what is wrong, in order.

        Raises DependencyUnavailable: what is held then is not known, and the same call may be repeated.
        """
        answers: list[tuple[HeldLine, ...] | DomainError] = []
        for together in _fitting(reservations):
            request = inventory_pb2.BatchReserveStockRequest(reservations=[_reservation(each) for each in together])
            try:
                response = await self._stub.BatchReserveStock(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise _away_or(error, "inventory") from error
            answers.extend(_held(result) for result in response.results)
        return answers

    async def undo(self, reservations: Sequence[tuple[str, int]]) -> None:
        """Give back (order id, reservation number) and refuse what is still under way (S-6)."""
        for first in range(0, len(reservations), _AT_ONCE):
            request = inventory_pb2.BatchUndoReservationsRequest()
            for order_id, number in reservations[first : first + _AT_ONCE]:
                request.reservations.add(order_id=order_id, reservation=number)
            try:
                await self._stub.BatchUndoReservations(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise _away_or(error, "inventory") from error


class Room:
    """Room for `most` calls at one time, and for `waiting_max` that wait until they may begin."""

    def __init__(self, most: int, waiting_max: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._waiting_max = waiting_max
        self._waiting = 0

    @asynccontextmanager
    async def taken(self, within_s: float) -> AsyncIterator[None]:
        """Wait and take it. Raises Overloaded if too many wait already, TimeoutError after `within_s`."""
        if self._free.locked() and self._waiting >= self._waiting_max:
            raise Overloaded
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class Payments:
    """Payments' calls; at most `in_flight_max` of each kind at one time, for a provider may be slow.

    Reading waits for no creating. A call waits for room no longer than it may take itself, and at most `waiting_max`
    wait: what is not begun costs nothing, for whoever repeats the request goes on from there.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        timeout_s: float,
        *,
        read_timeout_s: float,
        in_flight_max: int,
        waiting_max: int,
    ) -> None:
        self._stub = PaymentsServiceStub(channel)
        self._timeout_s = timeout_s
        self._read_timeout_s = read_timeout_s
        self._creating = Room(in_flight_max, waiting_max)
        self._reading = Room(in_flight_max, waiting_max)

    async def create(self, order: PaymentOrder) -> PaymentWay:
        """Begin to pay, or hear of the live attempt: the same order always says the same.

        Raises DependencyUnavailable or Overloaded, after which the call must be repeated, or the refusal.
        """
        request = payments_service.CreatePaymentRequest(
            request_id=f"{order.order_id}:pay",
            order_id=order.order_id,
            due=common_pb2.Money(amount_minor=order.due_minor, currency=order.currency),
            flow=payments_pb2.Flow.Value(f"FLOW_{order.flow}"),
            manual_capture=order.manual_capture,
            order_number=order.number,
            email=order.email,
        )
        request.payable_until.FromDatetime(order.payable_until)
        try:
            async with self._creating.taken(self._timeout_s):
                answer = await self._stub.CreatePayment(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _away_or(error, "payments") from error
        except TimeoutError as error:
            raise _away("payments") from error
        return _way(answer.attempt, answer.client_secret, answer.checkout_url)

    async def read(self, order_id: str) -> PaymentWay | None:
        """How the order can be paid now, read again from the provider (S-5); None if there is no live attempt.

        Raises DependencyUnavailable or Overloaded.
        """
        request = payments_service.GetPaymentRequest(order_id=order_id)
        try:
            async with asyncio.timeout(self._read_timeout_s), self._reading.taken(self._read_timeout_s):
                answer = await self._stub.GetPayment(request, timeout=self._read_timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise _away_or(error, "payments") from error
        except TimeoutError as error:
            raise _away("payments") from error
        live = next((attempt for attempt in answer.payment.attempts if attempt.state in _PAYABLE), None)
        return _way(live, answer.client_secret, answer.checkout_url) if live else None


def _fitting(reservations: Sequence[Reservation]) -> Iterator[Sequence[Reservation]]:
    """Parts, in order, that one call and its answer can hold."""
    first = lines = 0
    for place, each in enumerate(reservations):
        if place - first == _AT_ONCE or (place > first and lines + len(each.command.lines) > _LINES_AT_ONCE):
            yield reservations[first:place]
            first, lines = place, 0
        lines += len(each.command.lines)
    if reservations:
        yield reservations[first:]


def _reservation(wanted: Reservation) -> Any:
    """The fields of ReserveStock."""
    return {
        "order_id": wanted.order_id,
        "reservation": wanted.number,
        "currency": wanted.command.currency,
        "lines": [
            {
                "line": number,
                "sku": line.sku,
                "quantity": line.quantity,
                "seen_unit_price": line.seen
                and {"amount_minor": line.seen.amount_minor, "currency": line.seen.currency},
            }
            for number, line in enumerate(wanted.command.lines, 1)
        ],
    }


def _held(result: inventory_pb2.ReserveStockResult) -> tuple[HeldLine, ...] | DomainError:
    if result.WhichOneof("result") == "refusal":
        return from_refusal(result.refusal)
    return tuple(
        HeldLine(line.line, line.sku, line.quantity, line.location, line.name, line.unit_price.amount_minor)
        for line in result.hold.lines
    )


def _way(attempt: payments_pb2.Attempt, client_secret: str, checkout_url: str) -> PaymentWay:
    return PaymentWay(attempt.provider, attempt.provider_object_id, client_secret, checkout_url, attempt.attempt_id)


def _away_or(error: grpc.aio.AioRpcError, name: str) -> DomainError:
    """A partner that is away, slow or overloaded is one thing for our caller: repeat the same request later."""
    told = from_rpc_error(error)
    if told.code in _AWAY or isinstance(told, Overloaded):
        return _away(name)
    return told


def _away(name: str) -> DependencyUnavailable:
    return DependencyUnavailable(f"{name} is away; the same request may be repeated", dependency=name)
