"""Finishing what a crash left: unfinished requests whose lease ended (S-6).

Why: a caller who got no answer may never come back; the order is completed, or nothing of it is left.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from services.chassis import idempotency
from services.chassis.db import Database, is_broken_plumbing
from services.chassis.errors import DependencyUnavailable, DomainError
from services.chassis.idempotency import FAILED, Claim, Request, Step
from services.chassis.telemetry import get_logger
from services.chassis.together import together
from services.orders.partners import Inventory
from services.orders.usecases.commands import PlaceOrder
from services.orders.usecases.errors import FINAL, PlacingAbandoned
from services.orders.usecases.paying import Paying
from services.orders.usecases.placing import CLAIMED, METHOD, MOST_RESERVATIONS, PHASES, Placed, Placing, Standing

log = get_logger(__name__)


class Completer:
    """Takes over unfinished requests and goes the same way as their callers did."""

    def __init__(
        self,
        database: Database,
        placing: Placing,
        paying: Paying,
        inventory: Inventory,
        *,
        command_of: Callable[[Request], PlaceOrder],
        lease: timedelta,
        tries_max: int,
        abandon_after: timedelta,
        batch_max: int,
    ) -> None:
        self._database = database
        self._placing = placing
        self._paying = paying
        self._inventory = inventory
        self._command_of = command_of
        self._lease = lease
        self._tries_max = tries_max
        self._abandon_after = abandon_after
        self._batch_max = batch_max

    async def run_once(self) -> int:
        """Complete or undo a batch; how many were taken over and came to an end."""
        taken = await idempotency.take_over(self._database, METHOD, PHASES, self._batch_max, lease=self._lease)
        hopeless = [claim for claim in taken if self._is_hopeless(claim)]
        hopeful = [claim for claim in taken if claim not in hopeless]
        ended = sum(await together(hopeful, self._complete, self._left))
        ended += sum(await together(hopeless, self._undo, self._left))
        if taken:
            log.info("requests_completed", taken=len(taken), ended=ended)
        return ended

    def _is_hopeless(self, claim: Claim) -> bool:
        """Many tries alone do not say so: while inventory is away, they are spent within a minute."""
        return claim.phase == CLAIMED and claim.fence > self._tries_max and claim.age >= self._abandon_after

    async def _left(self, claim: Claim, error: Exception) -> int:
        """What fails alone waits for its next lease."""
        log.error("request_not_completed", order_id=claim.subject, exc_info=error)
        return 0

    async def _complete(self, claims: Sequence[Claim]) -> int:
        """Phase 2 again, then 3, then 4; what cannot go on now waits for its next lease."""
        standings = [Standing(self._command_of(claim.request), claim) for claim in claims]
        results = await self._placing.finish(standings)
        placed = [result for result in results if isinstance(result, Placed)]
        refused = sum(isinstance(r, DomainError) and not isinstance(r, DependencyUnavailable) for r in results)
        paid = await asyncio.gather(*(self._pay(each) for each in placed), return_exceptions=True)
        for error in paid:
            if isinstance(error, BaseException) and is_broken_plumbing(error):
                raise error
        return refused + sum(each is True for each in paid)

    async def _pay(self, placed: Placed) -> bool:
        """Whether the request came to an end; what is refused for good is stored, anything else is tried again."""
        try:
            await self._paying.finish(placed)
        except DependencyUnavailable:
            return False
        except DomainError as error:
            log.warning("payment_refused", order_id=placed.order_id, reason=error.reason)
            return error.code in FINAL
        except Exception as error:
            log.exception("request_not_completed", order_id=placed.order_id)
            if is_broken_plumbing(error):
                raise
            return False
        return True

    async def _undo(self, claims: Sequence[Claim]) -> int:
        """Leave tombstones for every number that could still be under way, then the refusal.

        Each try that found a tombstone took one more number, and tombstones are left by tries beyond the limit only;
        none takes more numbers than one call tries, however long inventory was away.
        """
        try:
            await self._inventory.undo(
                [
                    (claim.subject, number)
                    for claim in claims
                    for number in range(1, min(claim.fence - self._tries_max, MOST_RESERVATIONS) + 1)
                ]
            )
        except DependencyUnavailable:
            return 0
        answer = idempotency.failure(PlacingAbandoned())
        steps = [Step(claim.key, claim.fence, CLAIMED, FAILED, answer) for claim in claims]
        return sum(await self._database.run(lambda tx: idempotency.advance(tx, steps)))
