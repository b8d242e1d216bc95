"""Placing orders: claim, reserve, place; each phase is atomic and can be repeated (SAGA 3).

Why: a batch walks through all phases together, so that many callers share a handful of statements and one call to
inventory; whoever dies between two phases leaves a key that names where to go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.chassis import idempotency, outbox
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.errors import DependencyUnavailable, DomainError, LostRace, RequestIdReused
from services.chassis.idempotency import DONE, FAILED, Claim, ClaimOutcome, Request, Step
from services.chassis.ids import new_order_number
from services.orders import domain
from services.orders.domain import Line, Order, OrderId, Payment, PaymentVerdict, Policies, due_at
from services.orders.partners import PLACED as ALREADY_PLACED
from services.orders.partners import UNDONE, Inventory, Reservation
from services.orders.published import message_of
from services.orders.store import placing as store
from services.orders.store.placing import NewOrder
from services.orders.store.reading import OrderView
from services.orders.usecases.commands import HeldLine, PlaceOrder
from services.orders.usecases.errors import FINAL

METHOD: Final = "CreateOrder"
CLAIMED: Final = "CLAIMED"  # nothing is known to be held
PLACED: Final = "PLACED"  # the order exists; its payment is still to be begun
PHASES: Final = (CLAIMED, PLACED)
DEFERRED: Final = "DEFERRED"
MOST_RESERVATIONS: Final = 16

Decided = tuple[NewOrder, list[outbox.OutgoingEvent]]


@dataclass(frozen=True, slots=True)
class Standing:
    """A command whose key is ours, at the phase that the key names."""

    command: PlaceOrder
    claim: Claim

    @property
    def order_id(self) -> str:
        """The order's id, fixed by the first claim."""
        return self.claim.subject


@dataclass(frozen=True, slots=True)
class Held:
    """A command whose stock is held under `reservation`."""

    standing: Standing
    lines: tuple[HeldLine, ...]
    reservation: int


@dataclass(frozen=True, slots=True)
class NotHeld:
    """A command whose stock is not held, and why."""

    standing: Standing
    error: DomainError


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that exists. `claim` is None when nothing is left to do; `view` is set where it is known already."""

    order_id: str
    claim: Claim | None
    view: OrderView | None = None


class Placing:
    """The phases up to the order, for batches of commands."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        clock: Clock,
        *,
        policies: Policies,
        shipping_fees: Mapping[str, int],
        lease: timedelta,
    ) -> None:
        self._database = database
        self._inventory = inventory
        self._clock = clock
        self._policies = policies
        self._shipping_fees = shipping_fees
        self._lease = lease

    async def flush(self, commands: Sequence[PlaceOrder]) -> list[Placed | DomainError]:
        """All phases for a batch; an order or a refusal for each command, in order. Safe to repeat."""
        claimed = await self.claim(commands)
        standings = [each for each in claimed if isinstance(each, Standing)]
        done = iter(await self.finish(standings))
        return [next(done) if isinstance(each, Standing) else each for each in claimed]

    async def finish(self, standings: Sequence[Standing]) -> list[Placed | DomainError]:
        """From the phase that each key names to the order, in order; the completer goes the same way."""
        waiting = [each for each in standings if each.claim.phase == CLAIMED]
        held = await self.reserve(waiting)
        placed = dict(zip((each.claim.key for each in waiting), await self.place(held), strict=True))
        return [placed.get(each.claim.key) or Placed(each.order_id, each.claim) for each in standings]

    async def claim(self, commands: Sequence[PlaceOrder]) -> list[Standing | Placed | DomainError]:
        """Phase 1: the keys, and orders whose keys were purged long ago (S-5).

        A key outlives its order's first day. So where no order is known the keys alone decide, by one statement.
        """
        requests = [command.request for command in commands]
        if not await store.find_requests(self._database, [request.key[::2] for request in requests]):
            claims = await idempotency.claim(self._database, requests, lease=self._lease, first_phase=CLAIMED)
            return [_standing(command, claim) for command, claim in zip(commands, claims, strict=True)]
        try:
            claims, old = await self._database.run(lambda tx: self._claim(tx, requests, frozenset())), {}
        except _PlacedLongAgo as found:
            old = found.requests
            fresh = [request for request in requests if (request.caller, request.request_id) not in old]
            claims = await self._database.run(lambda tx: self._claim(tx, fresh, frozenset(old))) if fresh else []
        by_request = iter(claims)
        return [
            _replayed(command.request, old[command.request.caller, command.request.request_id])
            if (command.request.caller, command.request.request_id) in old
            else _standing(command, next(by_request))
            for command in commands
        ]

    async def reserve(self, standings: Sequence[Standing]) -> list[Held | NotHeld]:
        """Phase 2: one call for all. A tombstone is in the way of a number: the next one is taken (S-6)."""
        results: dict[int, Held | NotHeld] = {}
        waiting = list(enumerate(standings))
        for number in range(1, MOST_RESERVATIONS + 1):
            if not waiting:
                break
            wanted = [Reservation(each.command, each.order_id, number) for _, each in waiting]
            try:
                answers = await self._inventory.reserve(wanted)
            except DependencyUnavailable as error:
                results.update((place, NotHeld(each, error)) for place, each in waiting)
                break
            undone = []
            for (place, each), answer in zip(waiting, answers, strict=True):
                if not isinstance(answer, DomainError):
                    results[place] = Held(each, answer, number)
                elif answer.reason == UNDONE:
                    undone.append((place, each))
                else:
                    results[place] = NotHeld(each, LostRace() if answer.reason == ALREADY_PLACED else answer)
            waiting = undone
        results.update((place, NotHeld(each, LostRace())) for place, each in waiting if place not in results)
        return [results[place] for place in range(len(standings))]

    async def place(self, results: Sequence[Held | NotHeld]) -> list[Placed | DomainError]:
        """Phase 3: orders, lines, history, events and keys, in one transaction; refusals are stored with their keys."""
        return await self._database.run(lambda tx: self._place(tx, results)) if results else []

    async def _claim(
        self, tx: Transaction, requests: Sequence[Request], known_old: frozenset[tuple[str, str]]
    ) -> list[Claim]:
        claims = await idempotency.claim(tx, requests, lease=self._lease, first_phase=CLAIMED)
        fresh = {claim.key[::2] for claim in claims if claim.outcome is ClaimOutcome.FRESH and claim.phase == CLAIMED}
        old = await store.find_requests(tx, sorted(fresh - known_old))
        if old:
            raise _PlacedLongAgo(old)  # rolls the claims back: nothing new may stand beside the old order
        return claims

    async def _place(self, tx: Transaction, results: Sequence[Held | NotHeld]) -> list[Placed | DomainError]:
        now = self._clock.now()
        decided = [self._decide(each, now) if isinstance(each, Held) else None for each in results]
        steps = [_step(each, new) for each, new in zip(results, decided, strict=True)]
        ours = await idempotency.advance(tx, steps, lease=self._lease)
        await _let_go(tx, [step for step, kept in zip(steps, ours, strict=True) if kept])
        placed = [new for new, kept in zip(decided, ours, strict=True) if new is not None and kept]
        views: dict[str, OrderView] = {}
        if placed:
            roots = await store.insert(tx, [new for new, _ in placed], now)
            await outbox.append(tx, [event for _, events in placed for event in events])
            views = {
                new.order.order_id: OrderView(root, store.line_rows(new))
                for (new, _), root in zip(placed, roots, strict=True)
            }
        return [_answer(each, step, kept, views) for each, step, kept in zip(results, steps, ours, strict=True)]

    def _decide(self, held: Held, now: datetime) -> Decided:
        """The order with its frozen lines and totals (R-2.2), its first history entry and its events."""
        command, request = held.standing.command, held.standing.command.request
        subtotal = sum(line.unit_price_minor * line.quantity for line in held.lines)
        shipping = self._shipping_fees.get(command.currency, 0)
        total = subtotal + shipping
        order = Order(
            order_id=OrderId(held.standing.order_id),
            number=new_order_number(),
            currency=command.currency,
            subtotal_minor=subtotal,
            shipping_minor=shipping,
            adjustments_minor=0,
            total_minor=total,
            lines=tuple(Line(line.line, line.sku, line.quantity, line.unit_price_minor) for line in held.lines),
            payable_until=now + self._policies.payable_for,
            payment=Payment(PaymentVerdict.UNPAID, total, command.currency),
            cart_id=command.cart_id,
            reservation=held.reservation,
            version=1,
        )
        advanced = domain.place(order, now, self._policies)
        version = advanced.order.version
        events = [
            outbox.outgoing(
                message_of(event, order.order_id, version, now, request.request_id), key=order.order_id, now=now
            )
            for event in advanced.events
        ]
        new = NewOrder(
            order=advanced.order,
            caller=request.caller,
            request_id=request.request_id,
            body_hash=request.body_hash,
            customer_id=command.customer_id,
            email=command.email,
            shipping_address=command.shipping_address,
            metadata=command.metadata,
            payment_flow=command.flow,
            capture_method=command.capture_method,
            names=[line.name for line in held.lines],
            locations=[line.location for line in held.lines],
            first_payable_until=order.payable_until,
            due_at=due_at(advanced.order, self._policies),
            history=advanced.history,
        )
        return new, events


class _PlacedLongAgo(Exception):
    """Some requests placed orders whose keys were purged."""

    def __init__(self, requests: Mapping[tuple[str, str], store.PlacedRequest]) -> None:
        super().__init__(f"{len(requests)} requests")
        self.requests = dict(requests)


def _replayed(request: Request, placed: store.PlacedRequest) -> Placed | DomainError:
    if placed.body_hash != request.body_hash:
        return RequestIdReused(request_id=request.request_id)
    return Placed(placed.order_id, None)


def _standing(command: PlaceOrder, claim: Claim) -> Standing | Placed | DomainError:
    if refusal := claim.refusal():
        return refusal
    if claim.is_ours:
        return Standing(command, claim)
    return Placed((claim.answer or b"").decode() or claim.subject, None)


def _step(result: Held | NotHeld, new: Decided | None) -> Step:
    """The key's next phase. Only what the caller must change is final; everything else may be tried again."""
    claim = result.standing.claim
    if isinstance(result, NotHeld):
        if result.error.code in FINAL:
            return Step(claim.key, claim.fence, CLAIMED, FAILED, idempotency.failure(result.error))
        return Step(claim.key, claim.fence, CLAIMED, CLAIMED)
    if new is not None and (new[0].payment_flow == DEFERRED or new[0].order.total_minor == 0):
        return Step(claim.key, claim.fence, CLAIMED, DONE, claim.subject.encode())
    return Step(claim.key, claim.fence, CLAIMED, PLACED)


async def _let_go(tx: Transaction, steps: Sequence[Step]) -> None:
    """What cannot go on now does not hold its lease, so that a retry need not wait for it."""
    if stuck := [step for step in steps if step.to_phase == CLAIMED]:
        await idempotency.advance(tx, stuck, lease=timedelta())


def _answer(result: Held | NotHeld, step: Step, kept: bool, views: Mapping[str, OrderView]) -> Placed | DomainError:
    if isinstance(result, NotHeld):
        return result.error
    if not kept:
        return LostRace()  # another try took the key over; it goes on
    claim = None if step.to_phase == DONE else replace(result.standing.claim, phase=PLACED)
    return Placed(result.standing.order_id, claim, views[result.standing.order_id])
