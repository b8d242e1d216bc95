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
from services.orders.store.reading import Due
from services.orders.usecases.deciding import Decisions
from services.orders.usecases.facts import CONSUMER

CALLER: Final = "time"
METHOD: Final = "Deadline"
_LEASE: Final = timedelta(seconds=30)


async def tick_orders(tx: Transaction, due: Sequence[Due], now: datetime, policies: Policies) -> int:
    """Let time have its say about orders; returns how many it was said to.

    Version and deadline make the operation's id (S-29): what was done then, even by a commit whose answer got lost, is
    not done again, and a later deadline of an order that did not change has its say, too.
    """
    # Again, for a key may have been parked since they were picked; and first (S-4): no claim may be left unfinished.
    parked = await parked_keys(tx, CONSUMER, {each.order_id for each in due})
    free = [each for each in due if each.order_id not in parked]
    claims = await idempotency.claim(tx, [_request(each) for each in free], lease=_LEASE, first_phase="STARTED")
    ours = {claim.subject: (claim, each.version) for claim, each in zip(claims, free, strict=True) if claim.is_ours}
    locked = await roots.lock(tx, ours)
    decisions = Decisions(locked, now, policies)
    steps: list[Step] = []
    for order_id, (claim, version) in ours.items():
        order = decisions.order(order_id)
        steps.append(Step(claim.key, claim.fence, claim.phase, DONE, b""))
        if order is not None and order.version == version:
            decisions.take(order_id, domain.tick(order, now, policies), caused_by="")
            decisions.ticked(order_id)
    await idempotency.advance(tx, steps)
    await decisions.store(tx)
    return len(steps)


def _request(due: Due) -> Request:
    request_id = f"{due.order_id}/{due.version}/{due.due_at.isoformat()}"
    return Request(CALLER, METHOD, request_id, sha256(request_id.encode()).digest(), due.order_id)
