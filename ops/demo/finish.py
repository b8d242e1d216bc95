"""Waits until every order is where its story may end and nothing is on its way any more.

Why: conditions with deadlines, never a time: a fast machine does not wait, and a slow one is not called wrong.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from onefold.orders.v1 import orders_pb2, orders_service_pb2

from ops.demo.customers import Played
from ops.demo.doors import Doors
from ops.demo.script import Story

LOOK_SECONDS: Final = 0.5
PAGE: Final = 200
GOING: Final = (
    orders_pb2.ORDER_STATE_PENDING,
    orders_pb2.ORDER_STATE_CONFIRMED,
    orders_pb2.ORDER_STATE_PROCESSING,
    orders_pb2.ORDER_STATE_SHIPPED,
)


class Unfinished(Exception):
    """Orders that did not get where they should; the text names them."""


async def orders(doors: Doors, states: "Sequence[orders_pb2.OrderState.ValueType]" = ()) -> dict[str, orders_pb2.Order]:
    """All orders by id, or those in some states, without history."""
    found: dict[str, orders_pb2.Order] = {}
    token = ""
    while True:
        request = orders_service_pb2.ListOrdersRequest(page_size=PAGE, page_token=token, states=states)
        answer = await doors.orders.ListOrders(request, timeout=doors.long_seconds)
        found |= {order.order_id: order for order in answer.orders}
        token = answer.next_page_token
        if not token:
            return found


async def wait_for_orders(
    doors: Doors, played: Sequence[Played], seconds: float, report: Callable[[int], None]
) -> dict[str, orders_pb2.Order]:
    """The orders once each is in a state that its story may end in. Raises Unfinished after `seconds`."""
    deadline = time.monotonic() + seconds
    wanted = {one.order_id: one for one in played if one.order_id}
    while True:
        going = await orders(doors, GOING)  # fewer with every look
        report(len(wanted.keys() - going.keys()))
        found = {} if wanted.keys() & going.keys() else await orders(doors)
        waiting = [one for order_id, one in wanted.items() if not is_at_rest(one, found.get(order_id))]
        if not waiting:
            return found
        if time.monotonic() > deadline:
            found = found or await orders(doors)
            late = [one for one in waiting if not is_at_rest(one, found.get(one.order_id))]
            raise Unfinished("\n".join(_describe(one, found.get(one.order_id)) for one in late))
        await asyncio.sleep(LOOK_SECONDS)


def is_at_rest(one: Played, order: orders_pb2.Order | None) -> bool:
    """Whether the order is where its story may end, and nobody is cancelling it."""
    if order is None or order.cancellation == orders_pb2.CANCELLATION_STATE_REQUESTED:
        return False
    return state_of(order) in one.checkout.ends or _has_expired(one, order)


def state_of(order: orders_pb2.Order) -> str:
    """`DELIVERED`."""
    return orders_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")


def disappointments(played: Sequence[Played]) -> list[str]:
    """Checkouts whose customer got something else than the story allows; empty: none."""
    problems = []
    rivals = Counter(one.checkout.lines[0][0] for one in played if one.checkout.lines and _has_rival(one))
    winners = Counter(one.checkout.lines[0][0] for one in played if _has_rival(one) and one.order_id)
    for sku, buyers in rivals.items():
        if winners[sku] != 1:
            problems.append(f"{buyers} buyers of the last {sku}: {winners[sku]} got it")
    for one in played:
        if one.refused and not _has_rival(one):
            problems.append(f"checkout {one.checkout.number} ({one.checkout.story}) was refused: {one.refused}")
    return problems


def _has_rival(one: Played) -> bool:
    return one.checkout.story is Story.LAST_UNIT


def _has_expired(one: Played, order: orders_pb2.Order) -> bool:
    """On a machine that is busy with other things: the time to pay ran out before the customer, or before the word of
    an authorisation, which is no payment yet and is released."""
    expired = order.cancellation_reason == orders_pb2.CANCELLATION_REASON_EXPIRED
    may_expire = one.too_late or one.checkout.story is Story.MANUAL
    return expired and may_expire and order.state == orders_pb2.ORDER_STATE_CANCELLED


def _describe(one: Played, order: orders_pb2.Order | None) -> str:
    if order is None:
        return f"checkout {one.checkout.number} ({one.checkout.story}): order {one.order_id} is not listed"
    verdict = orders_pb2.PaymentVerdict.Name(order.payment.verdict).removeprefix("PAYMENT_VERDICT_")
    cancellation = orders_pb2.CancellationState.Name(order.cancellation).removeprefix("CANCELLATION_STATE_")
    return (
        f"checkout {one.checkout.number} ({one.checkout.story}): order {order.number} {order.order_id} is"
        f" {state_of(order)}, payment {verdict}, cancellation {cancellation}"
    )
