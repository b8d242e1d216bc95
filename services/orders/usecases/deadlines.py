"""What time asks of orders: expiry, reminders of undecided cancellations, backorders, archiving.

Why: `advance()` decides here too; a deadline is only another reason to look at an order (R-2.12).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from services.chassis import idempotency
from services.chassis.consumer import parked_keys
from services.chassis.db import Transaction
from services.chassis.idempotency import DONE, Request, Step
from services.orders import domain
from services.orders.domain import Policies
from services.orders.store import roots
from services.orders.usecases.deciding import Decisions
from services.orders.usecases.facts import CONSUMER

CALLER: Final = "time"
METHOD: Final = "Deadline"
_LEASE: Final = timedelta(seconds=30)


async def tick_orders(tx: Transaction, due: Sequence[tuple[str, int]], now: datetime, policies: Policies) -> int:
    """Let time have its say about orders, given as (id, version); returns how many it was said to.

    The version makes the operation's id (S-29): what was done at that version, even by a commit whose answer got
    lost, is not done again.
    """
    claims = await idempotency.claim(tx, [_request(*each) for each in due], lease=_LEASE, first_phase="STARTED")
    ours = {claim.subject: (claim, version) for claim, (_, version) in zip(claims, due, strict=True) if claim.is_ours}
    locked = await roots.lock(tx, ours)
    parked = await parked_keys(tx, CONSUMER, set(locked))  # again: a key may have been parked since they were picked
    decisions = Decisions(locked, now, policies)
    steps: list[Step] = []
    for order_id, (claim, version) in ours.items():
        order = decisions.order(order_id)
        if order_id in parked:
            continue
        steps.append(Step(claim.key, claim.fence, claim.phase, DONE, b""))
        if order is not None and order.version == version:
            decisions.take(order_id, domain.tick(order, now, policies), caused_by="")
            decisions.ticked(order_id)
    await idempotency.advance(tx, steps)
    await decisions.store(tx)
    return len(steps)


def _request(order_id: str, version: int) -> Request:
    request_id = f"{order_id}/{version}"
    return Request(CALLER, METHOD, request_id, sha256(request_id.encode()).digest(), order_id)
