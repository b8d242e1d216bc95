"""Stripe's words: events, objects, amounts, parameters and errors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.http import AnswerLost, NeverSent
from services.chassis.money import decimals
from services.chassis.operations import Declined, Retryable, Unknown
from services.payments.domain import AttemptSeen, AttemptState, End, Flow, Kind, Money, OperationPlan
from services.payments.providers.base import Checkout, Malformed, NotPayable
from services.payments.providers.stripe import money, objects
from services.payments.providers.stripe.adapter import stripe_json
from services.payments.providers.stripe.errors import translate
from services.payments.providers.stripe.events import READERS, read_event
from services.payments.providers.stripe.parameters import LONGEST, SHORTEST, parameters
from simulators.stripe import money as simulated

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ORDER = "01a1fd93-38e1-77ed-bf99-8ad89181878b"
SDK: Any = stripe  # the SDK's errors have constructors without types
REFUSED = {"error": {"type": "x", "code": "refused"}}
LEAK = "pi_1_secret_x buyer@example.com"


def intent(status: str = "requires_payment_method", **more: Any) -> dict[str, Any]:
    return {
        "id": "pi_1", "object": "payment_intent", "status": status, "currency": "usd", "amount": 1_000,
        "amount_received": 0, "amount_capturable": 0, "metadata": {"order_id": ORDER, "attempt_id": "a1"}, **more,
    }  # fmt: skip


def session(**more: Any) -> dict[str, Any]:
    return {
        "id": "cs_1", "object": "checkout.session", "status": "open", "payment_status": "unpaid", "currency": "usd",
        "amount_total": 1_000, "payment_intent": None, "client_reference_id": ORDER, "metadata": {}, **more,
    }  # fmt: skip


def event(kind: str, row: Any, **more: Any) -> bytes:
    return json.dumps({"id": "evt_1", "type": kind, "created": 1_772_443_800, "data": {"object": row}, **more}).encode()


@pytest.mark.requirement("R-1.7")
@pytest.mark.parametrize(
    ("kind", "row", "state"),
    [
        ("payment_intent.succeeded", intent("succeeded", amount_received=1_000), AttemptState.SUCCEEDED),
        ("payment_intent.payment_failed", intent(), AttemptState.PAYABLE),
        ("payment_intent.canceled", intent("canceled"), AttemptState.CANCELED),
        ("payment_intent.processing", intent("processing"), AttemptState.PROCESSING),
        ("payment_intent.requires_action", intent("requires_action"), AttemptState.REQUIRES_ACTION),
        ("payment_intent.amount_capturable_updated", intent("requires_capture"), AttemptState.AUTHORIZED),
    ],
)
def test_intents(kind: str, row: dict[str, Any], state: AttemptState) -> None:
    read = read_event(event(kind, row))
    (fact,) = read.facts
    assert isinstance(fact, AttemptSeen)
    assert (fact.state, fact.payment_id, fact.attempt_id, read.order_id) == (state, "pi_1", "a1", ORDER)
    assert fact.failed == (kind == "payment_intent.payment_failed")
    assert fact.captured_minor == (1_000 if state is AttemptState.SUCCEEDED else 0)


@pytest.mark.requirement("F-32")
def test_half_of_a_surrogate_pair_is_read_and_can_be_stored() -> None:
    body = event("payment_intent.payment_failed", intent(last_payment_error={"code": "x", "message": "cut \ud83d"}))
    (fact,) = read_event(body).facts
    assert isinstance(fact, AttemptSeen)
    assert "cut ?" in repr(fact)
    repr(fact).encode()


@pytest.mark.requirement("F-32", "R-1.18")
@pytest.mark.parametrize("strange", ["cut \ud83d", float("nan"), float("inf")])
def test_what_a_webhook_may_say_the_log_of_events_may_say(strange: object) -> None:
    row = json.loads(event("payment_intent.succeeded", intent("succeeded", amount_received=1_000, note=strange)))
    body = stripe_json(row)
    assert read_event(body) == read_event(json.dumps(row).encode())
    assert [type(fact) for fact in read_event(body).facts] == [AttemptSeen]
    body.decode()


@pytest.mark.requirement("R-1.8", "F-6")
@pytest.mark.parametrize(
    ("kind", "fields", "state", "end"),
    [
        ("completed", {"status": "complete", "payment_status": "paid"}, AttemptState.SUCCEEDED, End.NONE),
        ("completed", {"status": "complete"}, AttemptState.PROCESSING, End.NONE),
        ("async_payment_succeeded", {"status": "complete", "payment_status": "paid"}, AttemptState.SUCCEEDED, End.NONE),
        ("async_payment_failed", {"status": "complete"}, AttemptState.CANCELED, End.FAILED),
        ("expired", {"status": "expired"}, AttemptState.CANCELED, End.CANCELED),
    ],
)
def test_sessions(kind: str, fields: dict[str, str], state: AttemptState, end: End) -> None:
    read = read_event(event(f"checkout.session.{kind}", session(payment_intent="pi_1", **fields)))
    (fact,) = read.facts
    assert isinstance(fact, AttemptSeen)
    assert (fact.state, fact.end, fact.session_id, fact.money_id) == (state, end, "cs_1", "pi_1")
    assert read.order_id == ORDER


@pytest.mark.requirement("R-1.8")
def test_a_fetched_session_knows_more_by_its_intent() -> None:
    for inner, state in ((intent("processing"), AttemptState.PROCESSING), (intent(), AttemptState.CANCELED)):
        assert objects.session(session(status="complete", payment_intent=inner), NOW).state is state
    waiting = session(payment_intent=intent("requires_action"))
    assert objects.session(waiting, NOW).state is AttemptState.REQUIRES_ACTION
    held = session(status="complete", payment_intent=intent("requires_capture", amount_capturable=1_000))
    assert objects.session(held, NOW).authorized_minor == 1_000


@pytest.mark.requirement("R-1.3")
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{}", b'{"id":1,"type":"x"}', b"\xff", b"[" * 100_000])
def test_signed_garbage_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_event(body)


@pytest.mark.requirement("R-1.3", "R-1.7")
@settings(max_examples=25, deadline=None)
@given(row=st.recursive(st.none() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s)))
def test_a_strange_object_is_never_an_exception(row: Any) -> None:
    for kind, (expected, _) in READERS.items():
        shaped = {**row, "object": expected} if isinstance(row, dict) else row
        read = read_event(event(kind, shaped))
        assert read.known and (read.broken or read.facts)


@pytest.mark.requirement("R-1.1")
def test_an_order_id_is_a_uuid_or_nothing() -> None:
    assert (
        read_event(event("payment_intent.processing", intent("processing", metadata={"order_id": "7"}))).order_id == ""
    )
    nul = event("payment_intent.processing", intent("processing", metadata={"attempt_id": "a\x00"}))
    (fact,) = read_event(nul).facts
    assert isinstance(fact, AttemptSeen) and fact.attempt_id == "a"


@pytest.mark.requirement("R-1.20", "F-12")
def test_amounts_of_odd_currencies() -> None:
    assert money.to_stripe(Money(1_050, "JPY")) == {"amount": 1_050, "currency": "jpy"}
    assert money.to_stripe(Money(1_050, "KWD")) == {"amount": 1_050, "currency": "kwd"}
    assert money.to_stripe(Money(1_050, "ISK")) == {"amount": 105_000, "currency": "isk"}
    assert money.from_stripe(105_000, "isk") == Money(1_050, "ISK")
    assert money.to_stripe(Money(105_000, "MGA")) == {"amount": 1_050, "currency": "mga"}
    assert money.from_stripe(1_050, "mga") == Money(105_000, "MGA")
    assert money.units(Money(5, "UGX")) == 500
    money.check(1_050, "KWD")
    none = ((1_055, "KWD"), (0, "USD"), (-5, "USD"), (100_000_000, "JPY"), (1_000_000, "ISK"), (1_050, "MGA"))
    for amount, currency in none:
        with pytest.raises(NotPayable):
            money.check(amount, currency)


@pytest.mark.requirement("R-1.20", "F-12")
def test_one_of_a_currency_is_one_at_stripe() -> None:
    for code in sorted(simulated.ZERO_DECIMAL | simulated.THREE_DECIMAL | {"usd", "isk", "ugx", "huf"}):
        currency = code.upper()
        units = money.units(Money(10 ** decimals(currency), currency))
        assert simulated.shown(units, code).split()[0].rstrip("0").rstrip(".") == "1", code
        assert money.from_stripe(units, code) == Money(10 ** decimals(currency), currency)


@pytest.mark.requirement("R-1.4", "F-56")
def test_a_session_lives_as_long_as_stripe_allows_and_returns_to_the_configured_pages() -> None:
    plan = OperationPlan(Kind.CREATE, 1, "a1", Flow.CHECKOUT, money=Money(1_000, "USD"))
    for wanted, expected in (
        (timedelta(minutes=1), SHORTEST),
        (timedelta(hours=2), timedelta(hours=2)),
        (timedelta(days=3), LONGEST),
    ):
        call = parameters(plan, Checkout(ORDER, "7K", "", NOW + wanted), NOW, "https://shop.test")
        assert call["params"]["expires_at"] == int((NOW + expected).timestamp())
        assert call["params"]["success_url"].startswith("https://shop.test/checkout/success?session_id={")


@pytest.mark.requirement("S-15", "F-9", "F-10")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SDK.CardError("No.", None, "card_declined", http_status=402, json_body=REFUSED), Declined),
        (SDK.InvalidRequestError("No.", None, http_status=400, json_body=REFUSED), Declined),
        (SDK.RateLimitError("Slow down.", http_status=429), Retryable),
        (SDK.AuthenticationError("Who?", http_status=401), Retryable),
        (SDK.IdempotencyError("Other.", http_status=400), Unknown),
        (SDK.InvalidRequestError("In use.", None, http_status=409), Unknown),
        (SDK.APIError("Oops.", http_status=500, json_body=REFUSED), Unknown),
        (SDK.APIConnectionError("Lost."), Unknown),
    ],
)
def test_errors_say_whether_it_was_executed(error: stripe.StripeError, expected: type[Exception]) -> None:
    translated = translate(error)
    assert type(translated) is expected
    if isinstance(translated, Unknown):
        assert translated.key_spent == (error.http_status == 500)


@pytest.mark.requirement("S-15", "S-5")
@pytest.mark.parametrize("status", [200, 302, 400, 404, 408, 409, 429, 401, 502])
@pytest.mark.parametrize("body", [None, {"id": LEAK}, {"error": LEAK}])
def test_what_stripe_did_not_say_refuses_nothing_and_is_repeated_nowhere(status: int, body: Any) -> None:
    translated = translate(SDK.APIError(f"Invalid response body from API: {LEAK}", http_status=status, json_body=body))
    assert type(translated) is (Retryable if status in (401, 429) else Unknown)
    assert LEAK not in str(translated)
    assert not getattr(translated, "key_spent", False)


@pytest.mark.requirement("S-15")
def test_a_time_out_at_the_provider_refuses_nothing() -> None:
    assert type(translate(SDK.APIError("Too slow.", http_status=408, json_body=REFUSED))) is Unknown


@pytest.mark.requirement("F-61")
@pytest.mark.parametrize(
    ("cause", "expected"),
    [(NeverSent("x"), Retryable), (AnswerLost("x"), Unknown), (ValueError("x"), Unknown)],
)
def test_a_lost_connection_is_only_harmless_before_it_was_made(cause: Exception, expected: type[Exception]) -> None:
    error = SDK.APIConnectionError("Lost.")
    error.__cause__ = cause
    assert type(translate(error)) is expected


@pytest.mark.requirement("R-1.7")
def test_the_table_of_effects_names_every_event() -> None:
    table = (Path(__file__).parents[3] / "docs" / "stripe-events.md").read_text()
    named = {word for row in table.splitlines() if row.startswith("| `") for word in row.split("|")[1].split("`")[1::2]}
    assert named == set(READERS)


@pytest.mark.requirement("R-1.20")
@pytest.mark.parametrize(
    ("currency", "unit"), [("USD", 1), ("JPY", 1), ("KWD", 10), ("MGA", 100), ("ISK", 1), ("UGX", 1), ("BHD", 10)]
)
def test_all_that_stripe_can_move_is_a_multiple_of_the_unit(currency: str, unit: int) -> None:
    assert money.unit_of(currency) == unit
    money.check(60 * unit, currency)
