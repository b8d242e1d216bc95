"""From a queued fulfilment to a planned create: address and prices from orders, variant ids from inventory.

Why: names and addresses are in no event, so they are asked for when they are needed, outside of any transaction, and
the exact parameters are stored before the provider is called (S-15).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from services.chassis.batch import Batcher, Retry
from services.chassis.db import Database, Transaction, is_broken_plumbing
from services.chassis.errors import DomainError, NotFound
from services.fulfillment import domain
from services.fulfillment.providers.base import Draft, Item, NotShippable, Recipient
from services.fulfillment.store import fulfillments
from services.fulfillment.usecases.decisions import Context, Step, apply

_AT_ONCE: Final = 20
_Ready = tuple[Step, Mapping[str, str] | None]  # what follows, and the correction that it was made with


@dataclass(frozen=True, slots=True)
class OrderLine:
    """What orders froze for one line."""

    name: str
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class OrderDetails:
    """What orders knows and events do not say; amounts in minor units of `currency`."""

    number: str
    recipient: Recipient
    lines: Mapping[int, OrderLine]
    currency: str
    shipping_minor: int


class OrderReader(Protocol):
    """Asks the owners; errors are DomainErrors."""

    async def order(self, order_id: str) -> OrderDetails:
        """The order's address and prices."""

    async def variant_ids(self, skus: list[str], key: str) -> Mapping[str, str]:
        """SKU -> the provider's variant id, for those that have one."""


async def prepare(database: Database, context: Context, reader: OrderReader, consumer: str, limit: int) -> int:
    """Plan the create of queued fulfilments whose time has come; returns how many were looked at.

    Orders whose events `consumer` has parked wait. Raises what is broken plumbing: it says nothing about an order.
    """
    waiting = await fulfillments.to_prepare(database, consumer, context.clock.now(), limit)
    roots = await fulfillments.read(database, [order_id for order_id, _ in waiting])
    places = asyncio.Semaphore(_AT_ONCE)

    async def store(ready: Sequence[_Ready]) -> list[bool]:
        async def body(tx: Transaction) -> None:
            # An operator may have corrected an address after it was read: then it is prepared anew.
            now = await fulfillments.lock_recipients(tx, [step.order_id for step, _ in ready])
            await apply(tx, context, [step for step, recipient in ready if now[step.order_id] == recipient])

        await database.run(body)
        return [True] * len(ready)

    together = Batcher(store, name="prepared", retry=Retry(within=timedelta(0)))  # the job itself runs again

    async def one(order_id: str, recipient: Mapping[str, str] | None) -> None:
        async with places:
            step = await _prepared(context, reader, roots[order_id], recipient)
        await together.submit((step, recipient))

    await asyncio.gather(*(one(*each) for each in waiting))
    return len(waiting)


async def _prepared(
    context: Context, reader: OrderReader, root: domain.Fulfillment, recipient: Mapping[str, str] | None
) -> Step:
    """Prepared with the parameters, or NotPrepared with the reason: for a person where time does not help (R-4.3)."""
    provider = context.provider
    skus = sorted({line.sku for line in root.lines})
    try:
        details = await reader.order(root.order_id)
        variants = await reader.variant_ids(skus, provider.variant_key)
    except DomainError as error:
        if is_broken_plumbing(error):
            raise
        return Step(root.order_id, domain.NotPrepared(error.message, for_person=isinstance(error, NotFound)))
    if strange := [unit.line for unit in root.lines if unit.line not in details.lines]:
        return Step(root.order_id, domain.NotPrepared(f"orders knows no line {strange[0]}", for_person=True))
    if missing := [sku for sku in skus if sku not in variants]:
        return Step(root.order_id, domain.NotPrepared(f"missing_variant: {', '.join(missing)}", for_person=True))
    corrected = Recipient(**recipient, email=details.recipient.email) if recipient else details.recipient
    draft = _draft(root, details, variants, corrected)
    try:
        parameters = provider.create_parameters(draft)
    except NotShippable as error:
        return Step(root.order_id, domain.NotPrepared(str(error), for_person=True))
    return Step(root.order_id, domain.Prepared(), root.request_id, parameters)


def _draft(root: domain.Fulfillment, details: OrderDetails, variants: Mapping[str, str], recipient: Recipient) -> Draft:
    """The units of the request only: a later round or a part of an order has its own subtotal."""
    items = tuple(
        Item(
            line=unit.line,
            sku=unit.sku,
            quantity=unit.quantity,
            variant_id=variants[unit.sku],
            name=details.lines[unit.line].name,
            unit_price_minor=details.lines[unit.line].unit_price_minor,
        )
        for unit in root.lines
    )
    subtotal = sum(item.unit_price_minor * item.quantity for item in items)
    return Draft(
        order_id=root.order_id,
        order_number=details.number,
        reference=root.number,
        recipient=recipient,
        items=items,
        currency=details.currency,
        subtotal_minor=subtotal,
        shipping_minor=details.shipping_minor,
        total_minor=subtotal + details.shipping_minor,
    )
