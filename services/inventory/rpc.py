"""The door for calls: protobuf to commands, results to protobuf.

Why: one call is a batch of one. Reservations and carts of all callers meet in a Batcher, so that a SKU that everybody
wants is locked once for many orders (R-3.9).
"""

from collections.abc import Sequence

from onefold.inventory.v1 import inventory_service_pb2 as service_pb2
from onefold.inventory.v1 import inventory_service_pb2_grpc as service_grpc

from services.chassis.batch import Batcher, batcher_for
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.errors import DomainError, InvalidField
from services.chassis.grpc_server import Context, answer_once, deadline_of
from services.inventory import domain, messages, published, usecases
from services.inventory.config import InventorySettings
from services.inventory.store import catalogue, levels

DEFAULT_PAGE = 200
FLUSHES = 2  # one decides while the other commits; they lock in one order (S-4)
Command = usecases.Reservation | usecases.Undo
Answer = domain.Hold | domain.Refused | None


class InventoryServicer(service_grpc.InventoryServiceServicer):
    """The calls of inventory_service.proto."""

    def __init__(self, database: Database, settings: InventorySettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._reservations: Batcher[Command, Answer] = batcher_for(
            settings, self._change_reservations, name="reservations", flushes=FLUSHES
        )
        self._carts: Batcher[usecases.CheckCart, domain.Cart] = batcher_for(settings, self._check_carts, name="carts")

    async def close(self) -> None:
        """Finish the commands that wait."""
        await self._reservations.close()
        await self._carts.close()

    async def UpsertItems(
        self, request: service_pb2.UpsertItemsRequest, context: Context
    ) -> service_pb2.UpsertItemsResponse:
        """Inserts or replaces items."""
        items = messages.items_of(request)

        async def effect(tx: Transaction) -> service_pb2.UpsertItemsResponse:
            changed = await usecases.upsert_items(tx, items, request.request_id, self._clock.now())
            inserted = sum(change.is_new for change in changed)
            return service_pb2.UpsertItemsResponse(inserted=inserted, updated=len(changed) - inserted)

        return await answer_once(self._database, request, context, service_pb2.UpsertItemsResponse, effect)

    async def BatchGetItems(
        self, request: service_pb2.BatchGetItemsRequest, context: Context
    ) -> service_pb2.BatchGetItemsResponse:
        """Reads items; unknown SKUs are listed."""
        items = await catalogue.read_items(self._database, request.skus)
        asked = dict.fromkeys(request.skus)
        return service_pb2.BatchGetItemsResponse(
            items=[published.item_message(items[sku]) for sku in asked if sku in items],
            unknown_skus=[sku for sku in asked if sku not in items],
        )

    async def ListItems(self, request: service_pb2.ListItemsRequest, context: Context) -> service_pb2.ListItemsResponse:
        """Pages through the catalogue; the token is the last SKU of the page before."""
        if request.page_token and not domain.is_sku(request.page_token):
            raise InvalidField("page_token", "is not one of ours")
        size = request.page_size or DEFAULT_PAGE
        items = await catalogue.list_items(self._database, request.page_token, size, request.missing_variant_key)
        return service_pb2.ListItemsResponse(
            items=[published.item_message(item) for item in items],
            next_page_token=items[-1].sku if len(items) == size else "",
        )

    async def CheckCart(self, request: service_pb2.CheckCartRequest, context: Context) -> service_pb2.CheckCartResponse:
        """All problems of all lines, and today's prices."""
        cart = await self._carts.submit(messages.cart_of(request), deadline=deadline_of(context))
        return messages.cart_response(cart)

    async def BatchReserveStock(
        self, request: service_pb2.BatchReserveStockRequest, context: Context
    ) -> service_pb2.BatchReserveStockResponse:
        """Holds stock for orders, each all or nothing."""
        reservations = messages.reservations_of(request)
        outcomes = await self._reservations.submit_all(reservations, deadline=deadline_of(context))
        return messages.reserve_response(reservations, outcomes)

    async def BatchUndoReservations(
        self, request: service_pb2.BatchUndoReservationsRequest, context: Context
    ) -> service_pb2.BatchUndoReservationsResponse:
        """Undoes reservations that no order came to own."""
        for outcome in await self._reservations.submit_all(messages.undos_of(request), deadline=deadline_of(context)):
            if isinstance(outcome, DomainError):
                raise outcome
        return service_pb2.BatchUndoReservationsResponse()

    async def AdjustStock(
        self, request: service_pb2.AdjustStockRequest, context: Context
    ) -> service_pb2.AdjustStockResponse:
        """Changes on-hand stock, all or nothing."""
        adjustments = messages.adjustments_of(request)

        async def effect(tx: Transaction) -> service_pb2.AdjustStockResponse:
            rows = await usecases.adjust_stock(
                tx,
                adjustments,
                reason=request.reason,
                actor=request.actor,
                caused_by=request.request_id,
                now=self._clock.now(),
            )
            return service_pb2.AdjustStockResponse(levels=[messages.level_message(row) for row in rows])

        return await answer_once(self._database, request, context, service_pb2.AdjustStockResponse, effect)

    async def BatchGetStock(
        self, request: service_pb2.BatchGetStockRequest, context: Context
    ) -> service_pb2.BatchGetStockResponse:
        """Reads levels."""
        stock = await levels.read_stock(self._database, request.skus)
        return service_pb2.BatchGetStockResponse(
            levels=[messages.level_message(row) for rows in stock.values() for row in rows.values()]
        )

    async def ListStockLedger(
        self, request: service_pb2.ListStockLedgerRequest, context: Context
    ) -> service_pb2.ListStockLedgerResponse:
        """Pages through the ledger; the token is the last position of the page before."""
        after, size = (messages.position_of(request.page_token), request.page_size or DEFAULT_PAGE)
        entries = await levels.list_ledger(self._database, request.sku, request.order_id, after, size)
        return service_pb2.ListStockLedgerResponse(
            entries=[messages.ledger_message(entry) for entry in entries],
            next_page_token=str(entries[-1].position) if len(entries) == size else "",
        )

    async def _change_reservations(self, commands: Sequence[Command]) -> list[Answer]:
        now = self._clock.now()
        return await self._database.run(
            lambda tx: usecases.change_reservations(
                tx, commands, now, hold=self._settings.hold, units_per_sku_max=self._settings.units_per_sku_max
            )
        )

    async def _check_carts(self, carts: Sequence[usecases.CheckCart]) -> list[domain.Cart]:
        return await usecases.check_carts(self._database, carts, units_per_sku_max=self._settings.units_per_sku_max)
