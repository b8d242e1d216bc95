"""What a caller sends amiss is named in one answer that arrives, whatever there is of it."""

from collections.abc import AsyncIterator

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2 as fulfillment
from onefold.fulfillment.v1 import fulfillment_service_pb2_grpc as fulfillment_grpc
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as orders
from onefold.orders.v1 import orders_service_pb2_grpc as orders_grpc

from services.chassis.config import ServiceSettings
from services.chassis.errors import STATUS_DETAILS_KEY, InvalidField, Refused, from_rpc_error
from services.chassis.grpc_server import Context, Server
from services.chassis.testing import TOKEN, settings_for

TIMEOUT_S = 5.0
STORED = fulfillment.WEBHOOK_OUTCOME_STORED


class Orders(orders_grpc.OrdersServiceServicer):
    """Refuses carts with as many problems as lines."""

    async def CreateOrder(self, request: orders.CreateOrderRequest, context: Context) -> orders.CreateOrderResponse:
        price = common_pb2.Money(amount_minor=123_456_789, currency="GBP")
        problems = [
            common_pb2.CartProblem(sku=line.sku, requested=9, available=1, price_was=price, price_now=price)
            for line in request.lines
            for _ in range(2)
        ]
        raise Refused(details=[common_pb2.CartProblems(problems=problems)])


class Fulfillment(fulfillment_grpc.FulfillmentServiceServicer):
    """Takes any webhook."""

    async def IngestWebhooks(
        self, request: fulfillment.IngestWebhooksRequest, context: Context
    ) -> fulfillment.IngestWebhooksResponse:
        return fulfillment.IngestWebhooksResponse(outcomes=[STORED] * len(request.webhooks))


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """A caller that is not of this house: it has gRPC's own limits."""
    server = Server(settings_for(ServiceSettings))
    server.add(orders_grpc.add_OrdersServiceServicer_to_server, Orders())  # type: ignore[abstract]
    server.add(fulfillment_grpc.add_FulfillmentServiceServicer_to_server, Fulfillment())  # type: ignore[abstract]
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
    await server.stop()


def order(lines: int, *, sku: str = "SKU-{}", quantity: int = 1) -> orders.CreateOrderRequest:
    return orders.CreateOrderRequest(
        request_id="request-1",
        lines=[orders.CartLine(sku=sku.format(n), quantity=quantity) for n in range(lines)],
        currency="GBP",
        email="ada@example.org",
        shipping_address=common_pb2.Address(name="Ada", line1="1", city="London", country_code="GB"),
        payment_flow=orders_pb2.PAYMENT_FLOW_CHECKOUT,
    )


async def refused(channel: grpc.aio.Channel, request: orders.CreateOrderRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        await orders_grpc.OrdersServiceStub(channel).CreateOrder(request, timeout=TIMEOUT_S, metadata=metadata)
    return caught.value


@pytest.mark.requirement("F-32")
async def test_every_text_with_nul_is_named(channel: grpc.aio.Channel) -> None:
    request = order(3)
    request.shipping_address.line2 = "a\0b"
    request.metadata["colour"] = "re\0d"
    request.metadata["si\0ze"] = "L"
    request.cart_id = "\0"
    error = from_rpc_error(await refused(channel, request))
    assert isinstance(error, InvalidField)
    assert {path for path, _ in error.violations} == {
        "shipping_address.line2",
        'metadata["colour"]',
        'metadata["si\\u0000ze"]',
        "cart_id",
    }


@pytest.mark.requirement("F-32")
async def test_bytes_may_hold_nul(channel: grpc.aio.Channel) -> None:
    webhooks = [fulfillment.Webhook(source="printful", body=b"\0\0")]
    answer = await fulfillment_grpc.FulfillmentServiceStub(channel).IngestWebhooks(
        fulfillment.IngestWebhooksRequest(webhooks=webhooks),
        timeout=TIMEOUT_S,
        metadata=(("authorization", f"Bearer {TOKEN}"),),
    )
    assert list(answer.outcomes) == [STORED]


async def test_an_answer_with_very_many_violations_still_arrives(channel: grpc.aio.Channel) -> None:
    failed = await refused(channel, order(100, sku="not a sku, number {}", quantity=-1))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = from_rpc_error(failed)
    assert isinstance(error, InvalidField)
    assert error.violations[0][0] == "lines[0].sku"
    assert "more" in error.violations[-1][1]


async def test_a_refusal_with_very_many_problems_still_arrives(channel: grpc.aio.Channel) -> None:
    failed = await refused(channel, order(100, sku="A-RATHER-LONG-SKU-OF-A-PRODUCT-{:04}"))
    assert failed.code() is grpc.StatusCode.FAILED_PRECONDITION
    (packed,) = [value for key, value in failed.trailing_metadata() or () if key == STATUS_DETAILS_KEY]
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
