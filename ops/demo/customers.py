"""Customers: what each story does at the doors.

Why: a customer sees an order, a payment page and a mailbox, and so do these; what happens behind is found out by
reading, never by knowing.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc
from onefold.common.v1.common_pb2 import Address
from onefold.orders.v1 import orders_pb2, orders_service_pb2

from ops.demo.doors import Doors, patiently
from ops.demo.script import Checkout, Flow, Story
from simulators.client import SimulatorError

CARD: Final = "pm_card_visa"
DECLINED_CARDS: Final = ("pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds")
SECURE_CARD: Final = "pm_card_authenticationRequired"
BANK: Final = "pm_usBankAccount_success"
MANY: Final = 20  # webhooks of one order, at most
STRIPE_EVENTS: Final = 5


@dataclass
class Played:
    """What the customer saw: the order, or why there is none."""

    checkout: Checkout
    order_id: str = ""
    refused: str = ""
    too_late: bool = False  # the page said that this can no longer be paid


async def play(doors: Doors, checkout: Checkout) -> Played:
    """Play one checkout up to the point where the customer has nothing left to do."""
    if checkout.story is Story.TIMES_OUT:
        await _lose_an_answer(doors, checkout)
    try:
        created = await patiently(lambda: doors.orders.CreateOrder(_request(checkout), timeout=doors.call_seconds))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return Played(checkout, refused=error.details() or "refused")
    played = Played(checkout, created.order.order_id)
    await _meddle(doors, played)
    try:
        await _pay(doors, played, created.payment)
    except SimulatorError:
        played.too_late = True
    return played


async def _pay(doors: Doors, played: Played, payment: orders_pb2.PaymentInstructions) -> None:
    match played.checkout.story:
        case Story.LEAVES:
            if payment.checkout_url:
                await doors.world.stripe.abandon_session(payment.provider_object_id)
        case Story.DECLINED:
            for card in (*DECLINED_CARDS, CARD):
                await _confirm(doors, payment, card)
        case Story.AUTHENTICATES:
            await _confirm(doors, payment, SECURE_CARD)
            if payment.checkout_url:
                await doors.world.stripe.authenticate_session(payment.provider_object_id)
            else:
                await doors.world.stripe.authenticate(payment.provider_object_id)
        case Story.BY_BANK:
            await _confirm(doors, payment, BANK)
        case Story.CANCELS:
            async with asyncio.TaskGroup() as both:
                both.create_task(_cancel(doors, played))
                both.create_task(_confirm_if_open(doors, payment))
        case _:
            await _confirm(doors, payment, CARD)


async def _confirm(doors: Doors, payment: orders_pb2.PaymentInstructions, method: str) -> None:
    if payment.checkout_url:
        await doors.world.stripe.pay_session(payment.provider_object_id, method)
    else:
        await doors.world.stripe.confirm(payment.client_secret, method)


async def _confirm_if_open(doors: Doors, payment: orders_pb2.PaymentInstructions) -> None:
    try:
        await _confirm(doors, payment, CARD)
    except SimulatorError:
        return  # the cancellation was first, and the page says so


async def _cancel(doors: Doors, played: Played) -> None:
    """The customer calls it off; if goods were submitted already, an operator decides, and lets it go on (S-8)."""
    cancel = orders_service_pb2.CancelOrderRequest(
        request_id=f"cancel-{played.checkout.number}",
        order_id=played.order_id,
        reason=orders_pb2.CANCELLATION_REASON_CUSTOMER,
        note="changed my mind",
    )
    answer = await patiently(lambda: doors.orders.CancelOrder(cancel, timeout=doors.call_seconds))
    if answer.order.cancellation == orders_pb2.CANCELLATION_STATE_PROPOSED:
        decision = orders_service_pb2.DecideCancellationRequest(
            request_id=f"decide-{played.checkout.number}", order_id=played.order_id, approve=False, note="too late"
        )
        await patiently(lambda: doors.orders.DecideCancellation(decision, timeout=doors.call_seconds))


async def _lose_an_answer(doors: Doors, checkout: Checkout) -> None:
    """The provider does what it is asked, and its answer gets lost: at Stripe now, or at Printful when it ships."""
    if checkout.number % 2:
        operation = "payment_intents.create" if checkout.flow is Flow.INTENT else "checkout.sessions.create"
        await doors.world.faults.api(vendor="stripe", operation=operation, kind="timeout_after")
    else:
        operation = "orders.create" if checkout.flow is Flow.INTENT else "orders.confirm"
        await doors.world.faults.api(vendor="printful", operation=operation, kind="timeout_after")


async def _meddle(doors: Doors, played: Played) -> None:
    """What happens to the webhooks of this order."""
    faults, order_id = doors.world.faults, played.order_id
    match played.checkout.story:
        case Story.DUPLICATED:
            await faults.webhook(vendor="stripe", kind="duplicate", order_id=order_id, times=STRIPE_EVENTS, copies=2)
        case Story.REORDERED:
            await faults.webhook(vendor="stripe", type="payment_intent.created", kind="reorder", order_id=order_id)
            await faults.webhook(
                vendor="stripe", type="payment_intent.succeeded", kind="late", order_id=order_id, delay_seconds=1
            )
        case Story.LOST:
            await faults.webhook(vendor="stripe", kind="lost", order_id=order_id, times=MANY)


def _request(checkout: Checkout) -> orders_service_pb2.CreateOrderRequest:
    person = checkout.person
    return orders_service_pb2.CreateOrderRequest(
        request_id=checkout.request_id,
        lines=[orders_service_pb2.CartLine(sku=sku, quantity=quantity) for sku, quantity in checkout.lines],
        currency=checkout.currency,
        customer_id=person.customer_id,
        email=person.email,
        shipping_address=Address(
            name=person.name,
            line1=person.street,
            city=person.city,
            region=person.region,
            postal_code=person.postal_code,
            country_code=person.country,
        ),
        cart_id=f"cart-{checkout.number}",
        metadata={"story": checkout.story.value},
        payment_flow=orders_pb2.PAYMENT_FLOW_INTENT
        if checkout.flow is Flow.INTENT
        else orders_pb2.PAYMENT_FLOW_CHECKOUT,
        capture_method=orders_pb2.CAPTURE_METHOD_MANUAL
        if checkout.story is Story.MANUAL
        else orders_pb2.CAPTURE_METHOD_AUTOMATIC,
    )
