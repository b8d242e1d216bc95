import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from onefold.orders.v1 import orders_pb2
from onefold.orders.v1 import orders_service_pb2 as orders
from onefold.orders.v1 import orders_service_pb2_grpc as orders_grpc

from services.chassis.config import PortTaken, ServiceSettings
from services.chassis.errors import (
    DeadlineRequired,
    DependencyUnavailable,
    DomainError,
    InvalidField,
    NotFound,
    Unauthenticated,
    from_rpc_error,
)
from services.chassis.grpc_client import channel
from services.chassis.grpc_server import Context, Server, caller_of, deadline_of, shielded
from services.chassis.ids import new_id
from services.chassis.telemetry import current_traceparent, new_traceparent, traced
from services.chassis.testing import CALLER, TOKEN, settings_for, wait_until

TIMEOUT_S = 5.0


class Orders(orders_grpc.OrdersServiceServicer):
    """Does what the number in the request says."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended: list[str] = []

    async def GetOrder(self, request: orders.GetOrderRequest, context: Context) -> orders.GetOrderResponse:
        self.heard = {
            "caller": caller_of(context),
            "remaining_s": deadline_of(context) - asyncio.get_running_loop().time(),
            "traceparent": current_traceparent(),
        }
        match request.number:
            case "REFUSED000":
                raise NotFound(number=request.number)
            case "FAVLTY0000":
                raise RuntimeError("password=geheim")
            case "P1VMB1NG00":
                raise ConnectionResetError("password=geheim")
            case "CANCE11ED0":
                raise asyncio.CancelledError
            case "AB0RT00000":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "as the handler says")
            case "W0RKS00000":
                await self._work("plain")
        return orders.GetOrderResponse()

    @shielded
    async def CancelOrder(self, request: orders.CancelOrderRequest, context: Context) -> orders.CancelOrderResponse:
        await self._work("shielded")
        return orders.CancelOrderResponse()

    async def WatchOrder(
        self, request: orders.WatchOrderRequest, context: Context
    ) -> AsyncIterator[orders.WatchOrderResponse]:
        yield orders.WatchOrderResponse()
        await self._work("stream")

    async def _work(self, name: str) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.ended.append(name)


@pytest.fixture
def settings() -> ServiceSettings:
    return settings_for(ServiceSettings)


@pytest.fixture
def servicer() -> Orders:
    return Orders()  # type: ignore[abstract]  # the other methods are not called


@pytest.fixture
async def server(settings: ServiceSettings, servicer: Orders) -> AsyncIterator[Server]:
    server = Server(settings)
    server.add(orders_grpc.add_OrdersServiceServicer_to_server, servicer)
    await server.start()
    yield server
    servicer.go_on.set()
    await server.stop()


@pytest.fixture
async def opened(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(f"127.0.0.1:{server.port}", TOKEN) as opened:
        yield opened


@pytest.fixture
def stub(opened: grpc.aio.Channel) -> orders_grpc.OrdersServiceStub:
    return orders_grpc.OrdersServiceStub(opened)


async def get(stub: Any, number: str = "7K3M92QXTF", timeout: float | None = TIMEOUT_S) -> orders.GetOrderResponse:
    response: orders.GetOrderResponse = await stub.GetOrder(orders.GetOrderRequest(number=number), timeout=timeout)
    return response


async def refusal(call: Any) -> tuple[grpc.StatusCode, DomainError]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value)


async def test_a_handler_knows_its_caller_deadline_and_trace(stub: Any, servicer: Orders) -> None:
    traceparent = new_traceparent()
    with traced(traceparent):
        await get(stub)
    assert servicer.heard["caller"] == CALLER
    assert 0 < servicer.heard["remaining_s"] <= TIMEOUT_S + 0.1
    assert servicer.heard["traceparent"] == traceparent


async def test_a_call_without_a_deadline_is_refused(stub: Any, servicer: Orders) -> None:
    code, error = await refusal(get(stub, timeout=None))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, DeadlineRequired)
    assert servicer.heard == {}


@pytest.mark.requirement("R-6.6")
@pytest.mark.parametrize("token", ["", "another-token", TOKEN + "x"])
async def test_an_unknown_token_is_refused(server: Server, servicer: Orders, token: str) -> None:
    async with channel(f"127.0.0.1:{server.port}", token) as stranger:
        code, error = await refusal(get(orders_grpc.OrdersServiceStub(stranger)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert isinstance(error, Unauthenticated)
    assert servicer.heard == {}


@pytest.mark.requirement("R-6.6")
async def test_a_call_without_a_token_is_refused(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as stranger:
        code, _ = await refusal(get(orders_grpc.OrdersServiceStub(stranger)))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_all_violations_come_in_one_answer(stub: Any) -> None:
    request = orders.CreateOrderRequest(
        request_id="r1", currency="pound", lines=[orders.CartLine(sku="MUG", quantity=1), orders.CartLine(sku="a b")]
    )
    code, error = await refusal(stub.CreateOrder(request, timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, InvalidField)
    paths = [path for path, _ in error.violations]
    assert paths == ["lines[1].sku", "lines[1].quantity", "currency", "shipping_address", "payment_flow"]


async def test_a_domain_error_comes_with_its_details(stub: Any) -> None:
    code, error = await refusal(get(stub, "REFUSED000"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert isinstance(error, NotFound)
    assert error.metadata == {"number": "REFUSED000"}


async def test_the_text_of_an_unexpected_error_stays_inside(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(stub, "FAVLTY0000")
    error = from_rpc_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == f"internal error {error.metadata['error_id']}"
    assert "geheim" not in str(caught.value.trailing_metadata())


@pytest.mark.requirement("S-26")
async def test_broken_plumbing_is_unavailable(stub: Any) -> None:
    code, error = await refusal(get(stub, "P1VMB1NG00"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "geheim" not in error.message


async def test_a_cancellation_inside_of_a_handler_is_answered(stub: Any) -> None:
    """Without an answer the client would wait until its deadline (F-42)."""
    async with asyncio.timeout(TIMEOUT_S):
        code, error = await refusal(get(stub, "CANCE11ED0", timeout=3600))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error, DependencyUnavailable)


async def test_a_handler_may_choose_its_own_status(stub: Any) -> None:
    code, error = await refusal(get(stub, "AB0RT00000"))
    assert (code, error.message) == (grpc.StatusCode.OUT_OF_RANGE, "as the handler says")


async def test_a_shielded_handler_outlives_its_caller(stub: Any, servicer: Orders, server: Server) -> None:
    call = stub.CancelOrder(cancel_request(), timeout=TIMEOUT_S)
    waiting = asyncio.ensure_future(call)
    await servicer.begun.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    stopping = asyncio.create_task(server.stop())
    await wait_until(lambda: not server.ready())
    assert servicer.ended == []
    servicer.go_on.set()
    await stopping
    assert servicer.ended == ["shielded"]


async def test_messages_above_four_mebibytes_are_refused(stub: Any) -> None:
    request = orders.GetOrderRequest(number="7" * (4 * 1024 * 1024 + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetOrder(request, timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.requirement("R-6.3")
async def test_health_and_reflection_need_neither_token_nor_deadline(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as stranger:
        stub: Any = health_pb2_grpc.HealthStub(stranger)
        for service in ("", "onefold.orders.v1.OrdersService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        channel_of_any_kind: Any = stranger
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel_of_any_kind)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in reflection.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert "onefold.orders.v1.OrdersService" in names


async def test_a_taken_port_is_a_clear_error(server: Server, settings: ServiceSettings) -> None:
    second = Server(settings.model_copy(update={"port": server.port}))
    with pytest.raises(PortTaken, match=rf"{server.port} .* set ONEFOLD_PORT"):
        await second.start()


async def test_draining_lets_running_calls_end_and_ends_streams(
    stub: Any, servicer: Orders, server: Server, opened: grpc.aio.Channel
) -> None:
    running = asyncio.ensure_future(get(stub, "W0RKS00000"))
    await servicer.begun.wait()
    stream = stub.WatchOrder(orders.WatchOrderRequest(order_id=new_id()), timeout=TIMEOUT_S)
    assert await stream.read() == orders.WatchOrderResponse()
    health: Any = health_pb2_grpc.HealthStub(opened)
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

    stop = asyncio.create_task(server.stop())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    code, _ = await refusal(stream.read())
    assert code is grpc.StatusCode.UNAVAILABLE
    watch.cancel()
    assert not running.done()
    servicer.go_on.set()
    assert await running == orders.GetOrderResponse()
    await stop
    assert not server.ready()


async def test_a_channel_repeats_unavailable_calls_only_where_asked(settings: ServiceSettings) -> None:
    calls = 0

    class Flaky(orders_grpc.OrdersServiceServicer):
        async def GetOrder(self, request: orders.GetOrderRequest, context: Context) -> orders.GetOrderResponse:
            nonlocal calls
            calls += 1
            if calls % 3:
                raise DependencyUnavailable
            return orders.GetOrderResponse()

    flaky = Server(settings)
    flaky.add(orders_grpc.add_OrdersServiceServicer_to_server, Flaky())  # type: ignore[abstract]
    await flaky.start()
    target = f"127.0.0.1:{flaky.port}"
    async with channel(target, TOKEN) as once, channel(target, TOKEN, retry_unavailable=True) as again:
        code, _ = await refusal(get(orders_grpc.OrdersServiceStub(once)))
        assert (code, calls) == (grpc.StatusCode.UNAVAILABLE, 1)
        calls = 0
        assert await get(orders_grpc.OrdersServiceStub(again)) == orders.GetOrderResponse()
        assert calls == 3
    await flaky.stop()


def cancel_request() -> orders.CancelOrderRequest:
    return orders.CancelOrderRequest(request_id="r1", order_id=new_id(), reason=orders_pb2.CANCELLATION_REASON_CUSTOMER)
