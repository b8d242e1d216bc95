"""The owners of what events do not carry: orders for address and prices, inventory for variant ids.

Why: a name, an address or a provider's id is asked of its owner when it is needed, never copied into an event.
"""

from collections.abc import Mapping

import grpc
from onefold.inventory.v1 import inventory_service_pb2 as inventory_pb2
from onefold.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onefold.orders.v1 import orders_service_pb2 as orders_pb2
from onefold.orders.v1.orders_service_pb2_grpc import OrdersServiceStub

from services.chassis.errors import from_rpc_error
from services.fulfillment.providers.base import Recipient
from services.fulfillment.usecases.preparing import OrderDetails, OrderLine


class Owners:
    """Calls to orders and inventory; `timeout_s` is for one call."""

    def __init__(self, orders: grpc.aio.Channel, inventory: grpc.aio.Channel, *, timeout_s: float) -> None:
        self._orders = OrdersServiceStub(orders)
        self._inventory = InventoryServiceStub(inventory)
        self._timeout_s = timeout_s

    async def order(self, order_id: str) -> OrderDetails:
        """Address, prices and shipping fee of an order. Raises DomainErrors."""
        request = orders_pb2.GetOrderRequest(order_id=order_id)
        try:
            order = (await self._orders.GetOrder(request, timeout=self._timeout_s)).order
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        to = order.shipping_address
        return OrderDetails(
            number=order.number,
            recipient=Recipient(
                name=to.name,
                line1=to.line1,
                line2=to.line2,
                city=to.city,
                region=to.region,
                postal_code=to.postal_code,
                country_code=to.country_code,
                phone=to.phone,
                email=order.email,
            ),
            lines={line.line: OrderLine(line.name, line.unit_price.amount_minor) for line in order.lines},
            currency=order.total.currency,
            shipping_minor=order.shipping.amount_minor,
        )

    async def variant_ids(self, skus: list[str], key: str) -> Mapping[str, str]:
        """The provider's variant ids of those SKUs that have one. Raises DomainErrors."""
        request = inventory_pb2.BatchGetItemsRequest(skus=skus)
        try:
            answer = await self._inventory.BatchGetItems(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return {item.sku: item.variant_ids[key] for item in answer.items if item.variant_ids.get(key)}
