"""What payments relies on at Stripe, asked of the adapter as the use cases ask it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis.ids import new_id
from services.chassis.operations import Declined, Operation, OperationState, Retryable, encode_parameters, operation_id
from services.payments.domain import (
    AttemptSeen,
    AttemptState,
    Flow,
    Kind,
    Money,
    OperationPlan,
    RefundSeen,
    RefundState,
)
from services.payments.providers.base import Checkout, Shown
from services.payments.providers.stripe import StripeProvider
from tests.conformance.payments.conftest import Account

USD = Money(1_000, "USD")


def operation(account: Account, plan: OperationPlan, order_id: str, *, manual: bool = False) -> Operation:
    """A plan as the journal would hold it once it was sent."""
    now = datetime.now(UTC)
    parameters = account.provider.parameters(plan, Checkout(order_id, "7K3M92QXTF", "", None, manual), now)
    identity = operation_id(plan.kind, order_id, plan.number)
    stored: dict[str, Any] = dict.fromkeys(Operation.__dataclass_fields__)
    stored |= {"id": identity, "kind": plan.kind.value, "subject": order_id, "number": plan.number}
    stored |= {"request": encode_parameters({**parameters, "target": plan.target_id}), "idempotency_key": identity}
    return Operation(
        **(stored | {"state": OperationState.SENT, "first_sent_at": now, "last_sent_at": now, "planned_at": now})
    )


async def begin(account: Account, flow: Flow = Flow.INTENT, *, manual: bool = False) -> tuple[Operation, AttemptSeen]:
    order_id = new_id()
    create = operation(account, OperationPlan(Kind.CREATE, 1, new_id(), flow, money=USD), order_id, manual=manual)
    answer = await account.provider.send(create)
    seen = account.provider.read_answer(Kind.CREATE, answer, datetime.now(UTC))
    assert isinstance(seen, AttemptSeen)
    return create, seen


async def run(account: Account, kind: Kind, object_id: str, order_id: str, money: Money | None = None) -> Any:
    plan = OperationPlan(kind, 9, new_id(), Flow.INTENT, object_id, money)
    answer = await account.provider.send(operation(account, plan, order_id))
    return account.provider.read_answer(kind, answer, datetime.now(UTC))


@pytest.mark.requirement("R-1.4", "F-9")
@pytest.mark.parametrize("flow", list(Flow))
async def test_the_same_key_makes_the_same_object(account: Account, flow: Flow) -> None:
    create, seen = await begin(account, flow)
    again = account.provider.read_answer(Kind.CREATE, await account.provider.send(create), datetime.now(UTC))
    assert isinstance(again, AttemptSeen)
    assert again.object_id == seen.object_id
    assert seen.state is AttemptState.PAYABLE


@pytest.mark.requirement("R-1.4", "S-15")
@pytest.mark.parametrize("flow", list(Flow))
async def test_what_was_made_is_found_by_our_id_and_nothing_else_is(account: Account, flow: Flow) -> None:
    create, seen = await begin(account, flow)
    found = await account.provider.look_up(create)
    assert found is not None and found["id"] == seen.object_id
    stranger = replace(create, request=encode_parameters({**create.parameters, "target": new_id()}))
    assert await account.provider.look_up(stranger) is None


@pytest.mark.requirement("R-1.6", "S-15")
@pytest.mark.parametrize("flow", list(Flow))
@pytest.mark.parametrize("late", ["first", "last"])
async def test_what_was_made_is_found_around_the_first_try_and_the_last(
    account: Account, flow: Flow, late: str
) -> None:
    create, seen = await begin(account, flow)
    hour = timedelta(hours=1)
    first = create.planned_at - (hour if late == "last" else timedelta())
    tried = replace(create, first_sent_at=first, last_sent_at=first + hour)
    found = await account.provider.look_up(tried)
    assert found is not None and found["id"] == seen.object_id
    neither = replace(tried, first_sent_at=first - hour * 2, last_sent_at=first - hour * 3)
    assert await account.provider.look_up(neither) is None


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("flow", list(Flow))
async def test_an_attempt_is_ended_and_ending_it_twice_is_no_error(account: Account, flow: Flow) -> None:
    create, seen = await begin(account, flow)
    first = await run(account, Kind.CANCEL, seen.object_id, create.subject)
    assert first.state is AttemptState.CANCELED
    plan = OperationPlan(Kind.CANCEL, 2, new_id(), flow, seen.object_id)
    cancel = operation(account, plan, create.subject)
    again = account.provider.read_answer(Kind.CANCEL, await account.provider.send(cancel), datetime.now(UTC))
    assert isinstance(again, AttemptSeen) and again.state is AttemptState.CANCELED
    assert await account.provider.look_up(cancel) is not None


@pytest.mark.requirement("F-7", "S-9")
async def test_a_paid_intent_answers_its_cancel_by_what_it_is(account: Account) -> None:
    create, seen = await begin(account)
    await account.confirm(seen.object_id, "pm_card_visa")
    ended = await run(account, Kind.CANCEL, seen.object_id, create.subject)
    assert (ended.state, ended.captured_minor) == (AttemptState.SUCCEEDED, USD.amount_minor)


@pytest.mark.requirement("R-1.21")
async def test_an_authorisation_is_captured_in_part(account: Account) -> None:
    create, seen = await begin(account, manual=True)
    await account.confirm(seen.object_id, "pm_card_visa")
    shown = await account.provider.fetch(seen.object_id, datetime.now(UTC))
    assert shown is not None
    assert (shown.word, shown.seen.authorized_minor, shown.order_id) == ("requires_capture", 1_000, create.subject)
    captured = await run(account, Kind.CAPTURE, seen.object_id, create.subject, Money(600, "USD"))
    assert (captured.state, captured.captured_minor) == (AttemptState.SUCCEEDED, 600)


@pytest.mark.requirement("R-1.21")
async def test_a_capture_without_authorisation_is_declined_and_shows_the_intent(account: Account) -> None:
    create, seen = await begin(account)
    with pytest.raises(Declined) as declined:
        await run(account, Kind.CAPTURE, seen.object_id, create.subject, USD)
    assert declined.value.answer is not None
    assert "client_secret" not in declined.value.answer


@pytest.mark.requirement("R-1.12", "F-8")
async def test_refunds_are_made_once_listed_and_found_by_our_id(account: Account) -> None:
    create, seen = await begin(account)
    await account.confirm(seen.object_id, "pm_card_visa")
    plan = OperationPlan(Kind.REFUND, 1, "refund.1.1", Flow.INTENT, seen.payment_id, Money(400, "USD"))
    refund = operation(account, plan, create.subject)
    made = account.provider.read_answer(Kind.REFUND, await account.provider.send(refund), datetime.now(UTC))
    assert isinstance(made, RefundSeen)
    assert (made.amount, made.our_id, made.state) == (Money(400, "USD"), "refund.1.1", RefundState.SUCCEEDED)
    found = await account.provider.look_up(refund)
    assert found is not None and found["id"] == made.provider_refund_id
    listed = await account.provider.refunds_of(seen.payment_id, datetime.now(UTC))
    assert [r.provider_refund_id for r in listed] == [made.provider_refund_id]
    with pytest.raises(Declined):
        await run(account, Kind.REFUND, seen.payment_id, create.subject, Money(601, "USD"))


@pytest.mark.requirement("R-1.18")
async def test_events_and_objects_of_a_window_are_listed(account: Account) -> None:
    create, seen = await begin(account)
    await account.confirm(seen.object_id, "pm_card_visa")
    since, until = datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC)
    bodies = [body async for _, body in account.provider.events(since, until)]
    types = {e.type for e in map(account.provider.read_event, bodies) if e.order_id == create.subject}
    assert "payment_intent.succeeded" in types
    payables = [s async for s in account.provider.payables(since, until, until) if isinstance(s, Shown)]
    shown = [s for s in payables if s.order_id == create.subject]
    assert [(s.seen.object_id, s.paid) for s in shown] == [(seen.object_id, True)]


@pytest.mark.requirement("F-61")
async def test_what_cannot_be_reached_was_never_sent(account: Account) -> None:
    create, _ = await begin(account)
    nowhere = StripeProvider(
        account.key, api_base="http://127.0.0.1:9", public_origin="https://shop.test", timeout=timedelta(seconds=2)
    )
    with pytest.raises(Retryable):
        await nowhere.send(create)
    await nowhere.close()
