"""Webhooks: stored once, applied once, in one transaction, in any order."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from onefold.payments.v1 import payments_events_pb2, payments_pb2

from services.chassis.ids import new_id
from services.payments.store import payables
from tests.component.payments.counter import Counter, placed


@pytest.mark.requirement("S-12", "S-13", "R-1.3", "R-1.1")
async def test_a_webhook_counts_once(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    bodies = await counter.webhooks()
    first = await counter.ingest(*bodies)
    assert "APPLIED" in first and not {"FAILED", "INCIDENT"} & set(first)
    said = await counter.names(order_id)
    assert set(await counter.ingest(*bodies, *bodies)) == {"DUPLICATE"}
    assert await counter.names(order_id) == said
    assert said.count("PaymentSucceeded") == 1
    rows = await counter.database.fetch("SELECT deliveries, raw FROM webhook_events")
    assert {row["deliveries"] for row in rows} == {3}
    assert sorted(row["raw"] for row in rows) == sorted(bodies)


@pytest.mark.requirement("R-1.1", "S-13")
async def test_ten_concurrent_deliveries_are_one_ledger_entry(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    bodies = await counter.webhooks()
    await asyncio.gather(*(counter.ingest(*bodies) for _ in range(10)))
    payment = (await counter.get(order_id)).payment
    assert [entry.fact for entry in payment.ledger] == ["captured"]
    assert (await counter.names(order_id)).count("PaymentSucceeded") == 1


@pytest.mark.requirement("R-1.1")
async def test_a_payment_belongs_to_one_order_whatever_an_event_says(counter: Counter) -> None:
    order_id, other = new_id(), new_id()
    await counter.pay(order_id)
    await counter.create(other)
    bodies = await counter.webhooks()
    told = [body.replace(order_id.encode(), other.encode()) for body in bodies]
    await counter.ingest(*told)
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert (await counter.get(other)).payment.snapshot.verdict == payments_pb2.VERDICT_UNPAID
    with pytest.raises(asyncpg.UniqueViolationError):
        await counter.database.fetch("UPDATE payment_attempts SET payment_id = 'pi_same'")


@pytest.mark.requirement("R-1.14")
async def test_any_order_of_arrival_ends_the_same(counter: Counter) -> None:
    orders = [new_id() for _ in range(6)]
    for number, order_id in enumerate(orders):
        created = await counter.create(order_id)
        await counter.sim.client.stripe.confirm(created.client_secret, "pm_card_chargeDeclined")
        await counter.sim.client.stripe.confirm(created.client_secret, "pm_card_authenticationRequired")
        await counter.sim.client.stripe.authenticate(created.attempt.provider_object_id, succeed=True)
        bodies = [b for b in await counter.webhooks() if order_id.encode() in b]
        random.Random(number).shuffle(bodies)
        for body in bodies:
            await counter.ingest(body)
    ends = []
    for order_id in orders:
        payment = (await counter.get(order_id)).payment
        attempt = payment.attempts[0]
        ends.append((payment.snapshot.verdict, attempt.state, attempt.failures, attempt.failure_code))
    assert set(ends) == {(payments_pb2.VERDICT_PAID, payments_pb2.ATTEMPT_STATE_SUCCEEDED, 1, "generic_decline")}


@pytest.mark.requirement("R-1.3", "S-12")
async def test_a_failure_is_recorded_and_the_next_delivery_is_processed(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    good = payables.save

    async def broken(*arguments: Any) -> None:
        raise asyncpg.DataError("a bug")

    bodies = await counter.webhooks()
    monkeypatch.setattr(payables, "save", broken)
    assert "FAILED" in await counter.ingest(*bodies)
    row = await counter.database.fetchrow(
        "SELECT processed_at, error, outcome FROM webhook_events WHERE type = 'payment_intent.succeeded'"
    )
    assert row is not None
    assert (row["processed_at"], row["outcome"]) == (None, "failed")
    assert "a bug" in row["error"]
    monkeypatch.setattr(payables, "save", good)
    assert "APPLIED" in await counter.ingest(*bodies)
    assert (await counter.names(order_id)).count("PaymentSucceeded") == 1


@pytest.mark.requirement("R-1.3")
async def test_a_bad_event_does_not_stop_the_others_of_its_batch(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    bodies = await counter.webhooks()
    outcomes = await counter.ingest(b"not json", *bodies, b"[]", b'{"id":"evt_1"}')
    assert (outcomes[0], outcomes[-2:]) == ("MALFORMED", ["MALFORMED", "MALFORMED"])
    assert (await counter.get(order_id)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID


@pytest.mark.requirement("R-1.3", "S-26")
async def test_an_event_that_cannot_be_stored_does_not_stop_the_others_of_its_batch(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = new_id(), new_id()
    for order_id in (bad, good):
        await counter.pay(order_id)
    counter.poison(bad, monkeypatch)
    outcomes = await counter.tell()
    assert "FAILED" in outcomes and "APPLIED" in outcomes
    assert (await counter.get(good)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert (await counter.get(bad)).payment.ledger == []


@pytest.mark.requirement("R-1.13")
async def test_an_unmatched_event_that_cannot_be_applied_stops_no_other(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = new_id(), new_id()
    for order_id in (bad, good):
        await counter.sim.client.stripe.confirm(await counter.foreign_intent(order_id), "pm_card_visa")
    await counter.tell()
    await counter.hear(placed(bad), placed(good))
    with monkeypatch.context() as patched:
        counter.poison(bad, patched)
        assert await counter.jobs.match_webhooks() > 0
        assert await counter.jobs.match_webhooks() == 0
    assert (await counter.get(good)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert (await counter.get(bad)).payment.ledger == []
    assert set(await counter.open_incidents()) == {"order_not_found", "webhook_not_matched"}
    assert "APPLIED" in await counter.tell()  # it counts as unprocessed: the next delivery is processed
    assert (await counter.get(bad)).payment.snapshot.verdict == payments_pb2.VERDICT_PAID


@pytest.mark.requirement("R-1.7")
async def test_unknown_types_are_stored_and_have_no_effect(counter: Counter) -> None:
    body = json.dumps({"id": "evt_u", "type": "customer.created", "created": 1, "data": {"object": {}}}).encode()
    assert await counter.ingest(body) == ["IGNORED"]
    assert await counter.database.fetchval("SELECT raw FROM webhook_events") == body


@pytest.mark.requirement("R-1.7")
async def test_a_known_type_without_its_object_is_an_incident(counter: Counter) -> None:
    event = {"id": "evt_b", "type": "payment_intent.succeeded", "created": 1, "data": {"object": {"object": "x"}}}
    assert await counter.ingest(json.dumps(event).encode()) == ["INCIDENT"]
    assert await counter.open_incidents() == ["webhook_unreadable"]
    counter.clock.advance(counter.settings.rules.overdue)
    assert await counter.jobs.raise_unmatched() == 1
    assert await counter.jobs.raise_unmatched() == 0


@pytest.mark.requirement("R-1.13")
async def test_an_unmatched_payment_is_kept_announced_and_matched(counter: Counter) -> None:
    order_id = new_id()
    intent = await counter.sim.client.stripe.confirm(await counter.foreign_intent(order_id), "pm_card_visa")
    for body in await counter.webhooks():  # each at a time of its own: they are matched in the order in which they came
        counter.clock.advance(timedelta(seconds=1))
        assert await counter.ingest(body) == ["IGNORED" if "charge" in json.loads(body)["type"] else "INCIDENT"]
    assert await counter.open_incidents() == ["order_not_found"]
    assert await counter.jobs.raise_unmatched() == 0
    counter.clock.advance(counter.settings.rules.overdue)
    assert await counter.jobs.raise_unmatched() == 1
    assert await counter.jobs.raise_unmatched() == 0
    assert await counter.jobs.match_webhooks() == 0
    assert await counter.names(order_id) == ["IncidentRaised"]
    await counter.hear(placed(order_id))
    assert await counter.jobs.match_webhooks() == 2
    assert await counter.jobs.match_webhooks() == 0
    assert await counter.open_incidents() == []
    raised, *facts, resolved = await counter.said(order_id)
    assert [m.DESCRIPTOR.name for m in facts] == ["PaymentCreated", "PaymentCaptured", "PaymentSucceeded"]
    assert isinstance(raised, payments_events_pb2.IncidentRaised)
    assert isinstance(resolved, payments_events_pb2.IncidentResolved)
    assert (raised.kind, raised.subject) == ("order_not_found", intent.id)
    assert (resolved.incident_id, resolved.resolution) == (raised.incident_id, "matched")
    payment = (await counter.get(order_id)).payment
    assert [a.provider_object_id for a in payment.attempts] == [intent.id]
    assert payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert set(await counter.tell()) == {"DUPLICATE"}


@pytest.mark.requirement("R-1.15", "S-17")
@pytest.mark.parametrize(("amount", "currency"), [(999, "usd"), (1_000, "eur")])
async def test_money_that_differs_from_what_is_due_is_an_incident(counter: Counter, amount: int, currency: str) -> None:
    order_id = new_id()
    await counter.hear(placed(order_id))
    secret = await counter.foreign_intent(order_id, amount, currency)
    await counter.sim.client.stripe.confirm(secret, "pm_card_visa")
    await counter.tell()
    snapshot = (await counter.get(order_id)).payment.snapshot
    assert snapshot.verdict == payments_pb2.VERDICT_MISMATCHED
    assert snapshot.currency_differs is (currency != "usd")
    names = await counter.names(order_id)
    assert "PaymentMismatched" in names and "PaymentSucceeded" not in names
    assert await counter.open_incidents() == ["payment_mismatched"]


@pytest.mark.requirement("S-14", "R-1.15")
async def test_money_beyond_what_is_due_is_told_with_its_object(counter: Counter) -> None:
    order_id = new_id()
    await counter.pay(order_id)
    secret = await counter.foreign_intent(order_id)
    second = await counter.sim.client.stripe.confirm(secret, "pm_card_visa")
    await counter.tell()
    excess = [m for m in await counter.said(order_id) if isinstance(m, payments_events_pb2.PaymentExcessReceived)]
    assert [(e.object_id, e.amount.amount_minor) for e in excess] == [(second.id, 1_000)]
    assert (await counter.names(order_id)).count("PaymentSucceeded") == 1


@pytest.mark.requirement("R-1.8", "F-6")
@pytest.mark.parametrize("method", ["pm_card_visa", "pm_usBankAccount_success", "pm_usBankAccount_insufficientFunds"])
async def test_checkout_is_paid_by_its_payment_status(counter: Counter, method: str) -> None:
    order_id = new_id()
    created = await counter.create(order_id, flow=payments_pb2.FLOW_CHECKOUT)
    paid = await counter.sim.client.stripe.pay_session(created.attempt.provider_object_id, method)
    await counter.tell()
    verdict = (await counter.get(order_id)).payment.snapshot.verdict
    if method != "pm_card_visa":
        assert verdict == payments_pb2.VERDICT_PROCESSING
        assert paid.payment_intent
        await counter.sim.client.stripe.settle(paid.payment_intent, succeed=method.endswith("success"))
        await counter.tell()
    payment = (await counter.get(order_id)).payment
    if method.endswith("Funds"):
        assert payment.snapshot.verdict == payments_pb2.VERDICT_FAILED
        assert payment.attempts[0].state == payments_pb2.ATTEMPT_STATE_CANCELED
        return
    attempt = payment.attempts[0]
    assert payment.snapshot.verdict == payments_pb2.VERDICT_PAID
    assert [entry.fact for entry in payment.ledger] == ["captured"]
    assert attempt.provider_object_id.startswith("cs_") and attempt.provider_payment_id.startswith("pi_")
    assert attempt.received.amount_minor == 1_000 and attempt.charge_id.startswith(("ch_", "py_"))
    assert attempt.HasField("paid_at")
