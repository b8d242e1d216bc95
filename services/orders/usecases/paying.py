"""Beginning the payment of a placed order, and the answer (phases 4 and 5 of SAGA 3).

Why: a provider may be slow, so each order goes on alone; whoever repeats the call gets the same attempt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.chassis import idempotency, incidents
from services.chassis.batch import Batcher, batcher_for
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.errors import DomainError, InvalidField, Refused
from services.chassis.idempotency import DONE, FAILED, Claim, Step
from services.orders.config import OrdersSettings
from services.orders.domain import CancellationReason
from services.orders.partners import Payments
from services.orders.store import reading, roots
from services.orders.store.reading import OrderView
from services.orders.usecases.cancelling import cancel_orders
from services.orders.usecases.commands import CancelOrder, PaymentOrder, PaymentWay
from services.orders.usecases.deciding import ANOTHER_ORDERS
from services.orders.usecases.errors import FINAL, NotPayable, OrderNotFound
from services.orders.usecases.placing import DEFERRED, PLACED, Placed

NOTHING_TO_BEGIN: Final = ("PAYABLE_CLOSED", "ALREADY_PAID")


@dataclass(frozen=True, slots=True)
class _Answer:
    claim: Claim
    order_id: str
    object_id: str = ""
    refusal: DomainError | None = None


class Paying:
    """From the order to the answer; `close` finishes answers that wait, whose metrics are named after `name`."""

    def __init__(
        self,
        database: Database,
        payments: Payments,
        clock: Clock,
        settings: OrdersSettings,
        *,
        name: str,
    ) -> None:
        self._database = database
        self._payments = payments
        self._clock = clock
        self._policies = settings.policies
        self._answers: Batcher[_Answer, bool] = batcher_for(settings, self._store_answers, name=f"{name}_answers")

    async def finish(self, placed: Placed) -> tuple[OrderView, PaymentWay | None]:
        """Begin the payment if that is still to be done, and end the request.

        Raises DependencyUnavailable, after which the same request may be repeated, or payments' refusal.
        """
        view = placed.view or await self._read(placed.order_id)
        if placed.claim is None:
            return view, await self.way(view) if placed.view is None else None
        if view.root["state"] != "PENDING":  # a completer came after the end: nothing is to be paid any more
            await self._answers.submit(_Answer(placed.claim, placed.order_id))
            return view, None
        try:
            way = await self._payments.create(payment_order(view))
        except DomainError as refusal:
            if refusal.code not in FINAL:
                raise
            return await self._refused(placed.claim, _restated(refusal)), None
        await self._answers.submit(_Answer(placed.claim, placed.order_id, way.provider_object_id))
        objects = [way.provider_object_id] if way.provider_object_id else []
        others = [each for each in view.object_ids if each not in objects]
        return OrderView(view.root, view.lines, [*objects, *others], view.parcels), way

    async def way(self, view: OrderView) -> PaymentWay | None:
        """How the order can be paid, read again from the provider; None where it cannot be, now or any more."""
        if view.root["state"] != "PENDING" or view.root["cancellation"] != "NONE" or view.root["total_minor"] == 0:
            return None
        if view.root["payment_flow"] == DEFERRED and not view.object_ids:
            return None
        return await self._payments.read(view.root["order_id"])

    async def close(self) -> None:
        """Take no more answers, store those that wait."""
        await self._answers.close()

    async def _refused(self, claim: Claim, refusal: DomainError) -> OrderView:
        """Closed or paid: the order is as it is. Any other refusal is final: the order is undone, the caller told."""
        if refusal.reason in NOTHING_TO_BEGIN:
            await self._answers.submit(_Answer(claim, claim.subject))
            return await self._read(claim.subject)
        await self._answers.submit(_Answer(claim, claim.subject, refusal=refusal))
        raise refusal

    async def _read(self, order_id: str) -> OrderView:
        view = (await reading.read(self._database, [order_id])).get(order_id)
        if view is None:
            raise OrderNotFound(order_id=order_id)
        return view

    async def _store_answers(self, answers: Sequence[_Answer]) -> list[bool | DomainError]:
        return list(await self._database.run(lambda tx: self._store(tx, answers)))

    async def _store(self, tx: Transaction, answers: Sequence[_Answer]) -> list[bool]:
        kept = await idempotency.advance(tx, [_step(answer) for answer in answers])
        ours = [answer for answer, is_ours in zip(answers, kept, strict=True) if is_ours]
        objects = {answer.object_id: answer.order_id for answer in ours if answer.object_id}
        undone = [answer for answer in ours if answer.refusal is not None]
        await roots.lock_only(tx, [*objects.values(), *(answer.order_id for answer in undone)])
        owners = await roots.add_objects(tx, objects, self._clock.now())
        await incidents.open_incidents(tx, _misplaced(objects, owners, self._clock.now()))
        if undone:
            await cancel_orders(tx, [_undo(answer) for answer in undone], self._clock.now(), self._policies)
        return kept


def payment_order(view: OrderView) -> PaymentOrder:
    """What payments is asked for; only values that never change, so that a repeated call says the same."""
    root: Any = view.root
    return PaymentOrder(
        order_id=root["order_id"],
        number=root["number"],
        due_minor=root["total_minor"],
        currency=root["currency"],
        flow=root["payment_flow"],
        manual_capture=root["capture_method"] == "MANUAL",
        payable_until=root["first_payable_until"],
        email=root["email"],
    )


def _step(answer: _Answer) -> Step:
    claim = answer.claim
    if answer.refusal is not None:
        return Step(claim.key, claim.fence, PLACED, FAILED, idempotency.failure(answer.refusal))
    return Step(claim.key, claim.fence, PLACED, DONE, answer.order_id.encode())


def _restated(refusal: DomainError) -> DomainError:
    """Payments' words as our caller can understand them: its fields are not theirs (F-12)."""
    if isinstance(refusal, Refused):
        return refusal
    wrong = refusal.violations if isinstance(refusal, InvalidField) else ()
    return NotPayable(why="; ".join(description for _, description in wrong) or refusal.message)


def _misplaced(objects: Mapping[str, str], owners: Mapping[str, str], now: datetime) -> list[incidents.Incident]:
    """Objects that payments told this order of and that another order has had before, each an incident."""
    return [
        incidents.Incident(
            ANOTHER_ORDERS,
            f"{order_id} {object_id}",
            now,
            order_id=order_id,
            details={"event": "CreatePayment", "belongs_to": owners[object_id]},
        )
        for object_id, order_id in objects.items()
        if owners[object_id] != order_id
    ]


def _undo(answer: _Answer) -> CancelOrder:
    """Nobody can pay it: its stock must not wait for the deadline."""
    return CancelOrder(
        answer.order_id, CancellationReason.PAYMENT_FAILED, "payments", "", answer.claim.request.request_id
    )
