"""The door for calls: protobuf to commands, results to protobuf.

Why: one call is a batch of one. Orders of all callers meet in one Batcher, whose flush walks through all phases; after
it each goes on alone to payments, because one slow provider call would hold up the rest (DESIGN 3).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2
from onefold.orders.v1 import orders_service_pb2_grpc as service_grpc

from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.defects import shown
from services.chassis.errors import DomainError, InvalidField, to_refusal
from services.chassis.grpc_server import Context, answer_once, caller_of, deadline_of, shielded
from services.chassis.ids import InvalidOrderNumber, parse_number
from services.chassis.messages import moment_of
from services.chassis.telemetry import get_logger
from services.orders import messages, pages
from services.orders.config import OrdersSettings
from services.orders.domain import CancellationReason
from services.orders.placement import Placement
from services.orders.store import reading
from services.orders.store.reading import OrderView, Place, Wanted
from services.orders.usecases.cancelling import cancel_orders, decide_cancellations
from services.orders.usecases.commands import CancelOrder, DecideCancellation, PaymentWay, UpdateMetadata
from services.orders.usecases.errors import AnswerTooLarge, OrderNotFound
from services.orders.usecases.metadata import update_metadata
from services.orders.usecases.placing import Placed
from services.orders.watching import Watching

DEFAULT_PAGE = 50
ENDED = ("DELIVERED", "CANCELLED", "REFUNDED", "ARCHIVED")
_TOO_LARGE: Final = service_pb2.CreateOrderResult(refusal=to_refusal(AnswerTooLarge()))
log = get_logger(__name__)


class OrdersServicer(service_grpc.OrdersServiceServicer):
    """The calls of orders_service.proto."""

    def __init__(
        self, database: Database, settings: OrdersSettings, clock: Clock, placement: Placement, watching: Watching
    ) -> None:
        self._database = database
        self._policies = settings.policies
        self._clock = clock
        self._orders = placement.open_door()
        self._paying = placement.paying
        self._watching = watching

    @shielded
    async def CreateOrder(
        self, request: service_pb2.CreateOrderRequest, context: Context
    ) -> service_pb2.CreateOrderResponse:
        """Places an order: reserves stock, freezes prices, starts the payment."""
        command = messages.place_order_of(request, caller_of(context))
        placed = await self._orders.submit(command, deadline=deadline_of(context))
        return service_pb2.CreateOrderResponse(**_created(*await self._paying.finish(placed)))

    @shielded
    async def BatchCreateOrders(
        self, request: service_pb2.BatchCreateOrdersRequest, context: Context
    ) -> service_pb2.BatchCreateOrdersResponse:
        """Places orders; answers per item, in order."""
        commands = [messages.place_order_of(each, caller_of(context)) for each in request.requests]
        placed = await self._orders.submit_all(commands, deadline=deadline_of(context))
        results = await self._results(placed)
        fit = len(pages.fitting(results))
        return service_pb2.BatchCreateOrdersResponse(results=[*results[:fit], *[_TOO_LARGE] * (len(results) - fit)])

    async def GetOrder(self, request: service_pb2.GetOrderRequest, context: Context) -> service_pb2.GetOrderResponse:
        """Reads one order by id, number or provider object id."""
        view = await self._read(await self._order_id(request), history=True)
        return service_pb2.GetOrderResponse(
            order=messages.order_message(view), payment=messages.payment_message(await self._way(view))
        )

    async def ListOrders(
        self, request: service_pb2.ListOrdersRequest, context: Context
    ) -> service_pb2.ListOrdersResponse:
        """Lists orders, newest first; a page ends where a message would be too large."""
        if orders_pb2.ORDER_STATE_UNSPECIFIED in request.states:
            raise InvalidField("states", "names no state")
        wanted = Wanted(
            request.customer_id,
            tuple(orders_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_") for state in request.states),
            _moment(request, "created_from"),
            _moment(request, "created_until"),
        )
        size = request.page_size or DEFAULT_PAGE
        after = pages.place_of(request.page_token, wanted)
        views = await reading.list_orders(self._database, wanted, after, size + 1)
        response = service_pb2.ListOrdersResponse(orders=pages.fitting(map(messages.order_message, views[:size])))
        if len(views) > len(response.orders):
            last = views[len(response.orders) - 1].root
            response.next_page_token = pages.token_of(Place(last["created_at"], last["order_id"]), wanted)
        return response

    async def CancelOrder(
        self, request: service_pb2.CancelOrderRequest, context: Context
    ) -> service_pb2.CancelOrderResponse:
        """Asks for cancellation; the answer is the order as it is now."""
        reason = CancellationReason(
            orders_pb2.CancellationReason.Name(request.reason).removeprefix("CANCELLATION_REASON_")
        )
        command = CancelOrder(
            request.order_id.lower(), reason, reason.value.lower(), request.note, caused_by=request.request_id
        )

        async def change(tx: Transaction) -> Sequence[DomainError | None]:
            return await cancel_orders(tx, [command], self._clock.now(), self._policies)

        return service_pb2.CancelOrderResponse(order=await self._once(request, context, change))

    async def DecideCancellation(
        self, request: service_pb2.DecideCancellationRequest, context: Context
    ) -> service_pb2.DecideCancellationResponse:
        """An operator approves or declines a cancellation that a customer proposed."""
        command = DecideCancellation(
            request.order_id.lower(), request.approve, "admin", request.note, caused_by=request.request_id
        )

        async def change(tx: Transaction) -> Sequence[DomainError | None]:
            return await decide_cancellations(tx, [command], self._clock.now(), self._policies)

        order = await self._once(request, context, change)
        return service_pb2.DecideCancellationResponse(order=order)

    async def UpdateOrderMetadata(
        self, request: service_pb2.UpdateOrderMetadataRequest, context: Context
    ) -> service_pb2.UpdateOrderMetadataResponse:
        """Merges metadata by key; other keys stay."""
        command = UpdateMetadata(request.order_id.lower(), dict(request.metadata))

        async def change(tx: Transaction) -> Sequence[DomainError | None]:
            return await update_metadata(tx, [command], self._clock.now())

        order = await self._once(request, context, change)
        return service_pb2.UpdateOrderMetadataResponse(order=order)

    async def WatchOrder(
        self, request: service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchOrderResponse]:
        """Streams the order now and after every change, until it ends or the deadline passes."""
        shown = request.after_version
        async with self._watching.watch(request.order_id.lower()) as watcher:
            while True:
                view = await self._read(request.order_id)
                if view.root["version"] > shown:
                    shown = view.root["version"]
                    yield service_pb2.WatchOrderResponse(order=messages.order_message(view))
                if view.root["state"] in ENDED:
                    return
                await watcher.newer_than(max(shown, view.root["version"]))

    async def _results(self, placed: Sequence[Placed | DomainError]) -> list[service_pb2.CreateOrderResult]:
        """The items' answers, in order. All that wait do so at once; others need no task."""
        waiting = iter(await asyncio.gather(*(self._result(each) for each in placed if _waits(each))))
        return [next(waiting) if _waits(each) else await self._result(each) for each in placed]

    async def _result(self, placed: Placed | DomainError) -> service_pb2.CreateOrderResult:
        """The item's answer, whatever becomes of it: it must not take the others' answers along."""
        try:
            if isinstance(placed, DomainError):
                raise placed
            return service_pb2.CreateOrderResult(created=_created(*await self._paying.finish(placed)))
        except Exception as error:  # noqa: BLE001  (the caller gets it)
            return service_pb2.CreateOrderResult(refusal=to_refusal(shown(error, "item")))

    async def _once(
        self,
        request: Any,
        context: Context,
        change: Callable[[Transaction], Awaitable[Sequence[DomainError | None]]],
    ) -> orders_pb2.Order:
        """A change that counts once (S-29); the stored answer is the order's id, the answer the order as it is now."""

        async def effect(tx: Transaction) -> orders_pb2.Order:
            (refusal,) = await change(tx)
            if refusal is not None:
                raise refusal
            return orders_pb2.Order(order_id=request.order_id)

        answer = await answer_once(self._database, request, context, orders_pb2.Order, effect, subject=request.order_id)
        return messages.order_message(await self._read(answer.order_id))

    async def _order_id(self, request: service_pb2.GetOrderRequest) -> str:
        match request.WhichOneof("key"):
            case "number":
                try:
                    found = await reading.find_by_number(self._database, parse_number(request.number))
                except InvalidOrderNumber as error:
                    raise InvalidField("number", str(error)) from None
            case "provider_object_id":
                found = await reading.find_by_object(self._database, request.provider_object_id)
            case _:
                return request.order_id
        if found is None:
            raise OrderNotFound
        return found

    async def _read(self, order_id: str, *, history: bool = False) -> OrderView:
        found = await reading.read(self._database, [order_id], history=history)
        if not found:
            raise OrderNotFound(order_id=order_id)
        return next(iter(found.values()))

    async def _way(self, view: OrderView) -> PaymentWay | None:
        """How to pay; an order is shown without it whatever is wrong with payments."""
        try:
            return await self._paying.way(view)
        except DomainError as error:
            log.warning("payment_not_shown", order_id=view.root["order_id"], reason=error.reason)
            return None


def _waits(placed: Placed | DomainError) -> bool:
    """Whether it is still to be paid, or was placed before and has to be read, at payments too."""
    return isinstance(placed, Placed) and (placed.claim is not None or placed.view is None)


def _created(view: OrderView, way: PaymentWay | None) -> Any:
    """The fields of CreateOrderResponse."""
    return {"order": messages.order_fields(view), "payment": messages.payment_message(way)}


def _moment(request: service_pb2.ListOrdersRequest, field: str) -> datetime | None:
    return moment_of(getattr(request, field), field) if request.HasField(field) else None  # type: ignore[arg-type]
