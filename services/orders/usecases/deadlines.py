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
from services.chassis.idempotency import DONE, ClaimOutcome, Request, Step
from services.orders import domain
from services.orders.domain import Policies
from services.orders.events import CONSUMER
from services.orders.store import roots
from services.orders.usecases.deciding import Decisions

CALLER: Final = "time"
METHOD: Final = "Deadline"
_LEASE: Final = timedelta(seconds=30)


async def tick_orders(tx: Transaction, due: Sequence[tuple[str, int]], now: datetime, policies: Policies) -> int:
    """Let time have its say about orders, given as (id, version); returns how many it was said to.

    The version makes the operation's id (S-29): what was done at that version, even by a commit whose answer got
    lost, is not done again.
    """
    claims = await idempotency.claim(tx, [_request(*each) for each in due], lease=_LEASE, first_phase="STARTED")
    fresh = [claim for claim in claims if claim.outcome is ClaimOutcome.FRESH]
    await idempotency.advance(tx, [Step(each.key, each.fence, each.phase, DONE, b"") for each in fresh])
    wanted = {claim.subject: version for claim, (_, version) in zip(claims, due, strict=True) if claim in fresh}
    locked = await roots.lock(tx, wanted)
    parked = await parked_keys(tx, CONSUMER, set(locked))  # again: a key may have been parked since they were picked
    decisions = Decisions(locked, now, policies)
    for order_id, root in locked.items():
        if root.order.version == wanted[order_id] and order_id not in parked:
            decisions.take(order_id, domain.tick(root.order, now, policies), caused_by="")
            decisions.ticked(order_id)
    await decisions.store(tx)
    return len(fresh)


def _request(order_id: str, version: int) -> Request:
    request_id = f"{order_id}/{version}"
    return Request(CALLER, METHOD, request_id, sha256(request_id.encode()).digest(), order_id)
