"""Calls to inventory and payments: the two that a caller of orders waits for.

Why: what must not be lost is an event; these calls only reserve and begin a payment, and each can be repeated (S-2).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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
        """Hold stock for all, by one call; lines with frozen names and prices, or what is wrong, in order.

        Raises DependencyUnavailable: what is held then is not known, and the same call may be repeated.
        """
        answers: list[tuple[HeldLine, ...] | DomainError] = []
        for first in range(0, len(reservations), _AT_ONCE):
            request = inventory_pb2.BatchReserveStockRequest(
                reservations=[_reservation(each) for each in reservations[first : first + _AT_ONCE]]
            )
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


class Payments:
    """Payments' calls; at most `in_flight_max` at one time, for a provider may be slow."""

    def __init__(
        self, channel: grpc.aio.Channel, timeout_s: float, *, read_timeout_s: float, in_flight_max: int
    ) -> None:
        self._stub = PaymentsServiceStub(channel)
        self._timeout_s = timeout_s
        self._read_timeout_s = read_timeout_s
        self._room = asyncio.Semaphore(in_flight_max)

    async def create(self, order: PaymentOrder) -> PaymentWay:
        """Begin to pay, or hear of the live attempt: the same order always says the same.

        Raises DependencyUnavailable, after which the call must be repeated, or the refusal.
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
        async with self._room:
            try:
                answer = await self._stub.CreatePayment(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise _away_or(error, "payments") from error
        return _way(answer.attempt, answer.client_secret, answer.checkout_url)

    async def read(self, order_id: str) -> PaymentWay | None:
        """How the order can be paid now, read again from the provider (S-5); None if there is no live attempt.

        Raises DependencyUnavailable.
        """
        request = payments_service.GetPaymentRequest(order_id=order_id)
        async with self._room:
            try:
                answer = await self._stub.GetPayment(request, timeout=self._read_timeout_s)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise _away_or(error, "payments") from error
        live = next((attempt for attempt in answer.payment.attempts if attempt.state in _PAYABLE), None)
        return _way(live, answer.client_secret, answer.checkout_url) if live else None


def _reservation(wanted: Reservation) -> inventory_pb2.ReserveStock:
    message = inventory_pb2.ReserveStock(
        order_id=wanted.order_id, reservation=wanted.number, currency=wanted.command.currency
    )
    for number, line in enumerate(wanted.command.lines, 1):
        added = message.lines.add(line=number, sku=line.sku, quantity=line.quantity)
        if line.seen is not None:
            added.seen_unit_price.amount_minor = line.seen.amount_minor
            added.seen_unit_price.currency = line.seen.currency
    return message


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
        return DependencyUnavailable(f"{name} is away; the same request may be repeated", dependency=name)
    return told
