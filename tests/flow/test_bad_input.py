"""Proof 9: bad input gets its documented error, and nothing of it is stored."""

from collections.abc import Callable

import pytest
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_service_pb2 as service_pb2

from services.chassis.errors import Code
from services.chassis.ids import new_id
from tests.flow.laws import breaches
from tests.flow.shop import TIMEOUT_S, Shop, refusal, wanted
from tests.flow.webhooks import PRINTFUL_SECRET

pytestmark = pytest.mark.asyncio(loop_scope="module")

Spoil = Callable[[service_pb2.CreateOrderRequest], object]
TABLES = {
    "orders": ("orders", "order_lines", "order_history", "order_payments", "outbox"),
    "inventory": ("holds", "hold_lines", "outbox"),  # a root that no order comes to own is deleted by age
    "payments": ("payables", "payment_attempts", "webhook_events", "operations", "outbox"),
    "fulfillment": ("fulfillments", "webhooks", "operations", "outbox"),
}
MIB = 1024 * 1024


def line(quantity: int, sku: str = "MUG") -> Spoil:
    def spoil(request: service_pb2.CreateOrderRequest) -> None:
        del request.lines[:]
        request.lines.add(sku=sku, quantity=quantity)

    return spoil


def lines(number: int) -> Spoil:
    def spoil(request: service_pb2.CreateOrderRequest) -> None:
        del request.lines[:]
        for _ in range(number):
            request.lines.add(sku="MUG", quantity=1)

    return spoil


def field(name: str, value: str) -> Spoil:
    return lambda request: setattr(request, name, value)


FIELDS: dict[str, tuple[Spoil, str]] = {
    "no lines": (lines(0), "lines"),
    "101 lines": (lines(101), "lines"),
    "quantity 0": (line(0), "lines[0].quantity"),
    "quantity -1": (line(-1), "lines[0].quantity"),
    "quantity 1,000": (line(1_000), "lines[0].quantity"),
    "quantity 2**31 - 1": (line(2**31 - 1), "lines[0].quantity"),
    "NUL in the SKU": (line(1, "MUG\0"), "lines[0].sku"),
    "empty SKU": (line(1, ""), "lines[0].sku"),
    "currency in lower case": (field("currency", "gbp"), "currency"),
    "NUL in the currency": (field("currency", "GB\0"), "currency"),
    "NUL in the cart": (field("cart_id", "a\0b"), "cart_id"),
    "NUL in the customer": (field("customer_id", "a\0b"), "customer_id"),
    "NUL in the request id": (field("request_id", "a\0b"), "request_id"),
    "no request id": (field("request_id", ""), "request_id"),
    "no e-mail address": (field("email", "nobody"), "email"),
    "no address": (lambda request: request.ClearField("shipping_address"), "shipping_address"),
    "NUL in the address": (lambda request: setattr(request.shipping_address, "city", "L\0"), "shipping_address.city"),
    "no way to pay": (lambda request: request.ClearField("payment_flow"), "payment_flow"),
}


async def counts(shop: Shop) -> dict[str, int]:
    """Rows in all tables that an order or a webhook could leave something in."""
    return {
        f"{name}.{table}": await shop.value(name, f"SELECT count(*) FROM {table}")
        for name, tables in TABLES.items()
        for table in tables
    }


@pytest.mark.requirement("R-2.1", "R-2.13")
@pytest.mark.parametrize("case", FIELDS)
async def test_a_bad_field_is_named(shop: Shop, case: str) -> None:
    spoil, path = FIELDS[case]
    await shop.stocked("MUG", 5)
    await shop.settle()
    before = await counts(shop)
    request = wanted(new_id(), MUG=1)
    spoil(request)

    error = await refusal(shop.orders.CreateOrder(request, timeout=TIMEOUT_S))

    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert path in str(error.details) + str(error.metadata)
    assert await counts(shop) == before


@pytest.mark.requirement("R-2.1", "S-5")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (line(1, "HAT"), "KIND_UNKNOWN_SKU"),
        (line(999), "KIND_OUT_OF_STOCK"),
        (field("currency", "USD"), "KIND_NO_PRICE_IN_CURRENCY"),
    ],
)
async def test_a_bad_cart_is_explained(shop: Shop, change: Spoil, kind: str) -> None:
    await shop.stocked("MUG", 5)
    await shop.settle()
    before = await counts(shop)
    request = wanted(new_id(), MUG=1)
    change(request)

    error = await refusal(shop.orders.CreateOrder(request, timeout=TIMEOUT_S))

    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "CART_REJECTED")
    (problems,) = error.details
    assert isinstance(problems, common_pb2.CartProblems)
    assert [common_pb2.CartProblem.Kind.Name(each.kind) for each in problems.problems] == [kind]
    assert await counts(shop) == before
    assert await breaches(shop) == []


@pytest.mark.requirement("R-2.13")
async def test_a_call_without_a_deadline_is_refused(shop: Shop) -> None:
    await shop.stocked("MUG", 5)
    await shop.settle()
    before = await counts(shop)
    error = await refusal(shop.orders.CreateOrder(wanted(MUG=1)))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "DEADLINE_REQUIRED")
    assert await counts(shop) == before


@pytest.mark.requirement("R-1.3")
async def test_webhooks_that_are_not_what_they_should_be(shop: Shop) -> None:
    await shop.settle()
    before = await counts(shop)
    event = {"id": "evt_1", "object": "event", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}

    answers = {
        "too large": await shop.tell(b"x" * 2 * MIB),
        "too large, in chunks": await shop.tell(b"x" * 2 * MIB, chunked=True),
        "signed with another secret": await shop.tell(event, secret="whsec_other"),
        "stale": await shop.tell(event, late_s=301),
        "from the future": await shop.tell(event, late_s=-301),
        "garbage": await shop.tell(b"\x00\xffgarbage"),
        "no object": await shop.tell(b"[]"),
        "no event": await shop.tell(b"{}"),
        "deep": await shop.tell(b"[" * 100_000),
        "NUL in the id": await shop.tell({**event, "id": "evt_\0"}),
        "nothing": await shop.tell(b""),
    }
    unsigned = [
        await shop.http.post(f"{shop.gateway_url}/webhooks/{source}", content=b"{}")
        for source in ("stripe", "printful")
    ]
    forged = await shop.tell_printful(b"{}", secret="00" * 8)
    garbage = [
        await shop.tell_printful(body, secret=PRINTFUL_SECRET) for body in (b"", b"\xff", b"\xff{}", b"[]", b"{}")
    ]

    large = {name for name, status in answers.items() if status == 413}
    assert large == {"too large", "too large, in chunks"}
    assert {status for name, status in answers.items() if name not in large} == {400}, answers
    assert [answer.status_code for answer in unsigned] == [400, 400] and all(not answer.content for answer in unsigned)
    assert (forged, garbage) == (400, [400] * 5)
    assert await counts(shop) == before
