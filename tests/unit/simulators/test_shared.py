import random

import pytest

from simulators.shared.clock import Agenda, SimulatorClock, iso
from simulators.shared.faults import TRANSPORT, ApiFault, FaultBook, WebhookFault
from simulators.shared.limits import RateLimit
from simulators.shared.refusal import Refusal
from simulators.stripe.money import shown


def test_time_moves_forward_and_the_outside_stays() -> None:
    clock = SimulatorClock(lambda: 1_000.0)
    clock.advance(50)
    assert (clock.now(), clock.wall()) == (1_050.0, 1_000.0)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_the_agenda_runs_in_order_of_time_and_then_of_entry() -> None:
    clock = SimulatorClock(lambda: 0.0)
    agenda = Agenda(clock)
    done: list[str] = []
    agenda.at(20, lambda: done.append("late"))
    agenda.at(10, lambda: done.append("first"))
    agenda.at(10, lambda: agenda.after(0, lambda: done.append("added")))
    assert (agenda.run_due(), agenda.next_due()) == (0, 10)
    clock.advance(15)
    assert (agenda.run_due(), done, agenda.next_due()) == (3, ["first", "added"], 20)


def test_a_plan_that_no_longer_fits_is_dropped() -> None:
    clock = SimulatorClock(lambda: 0.0)
    agenda = Agenda(clock)
    done: list[str] = []

    def refuse() -> None:
        raise Refusal

    agenda.at(0, refuse)
    agenda.at(0, lambda: done.append("next"))
    assert (agenda.run_due(), done) == (2, ["next"])


def test_times_are_written_in_utc() -> None:
    assert iso(1_700_000_000.9) == "2023-11-14T22:13:20Z"


def test_a_fault_is_used_up_and_matched_without_dashes() -> None:
    book = FaultBook(random.Random(0))
    book.api.append(ApiFault(1, "stripe", "payment_intents.*", "slow", order_id="ab-cd", times=2))
    assert book.take_api("stripe", "refunds.create", "abcd", TRANSPORT) is None
    assert book.take_api("printful", "payment_intents.create", "abcd", TRANSPORT) is None
    assert book.take_api("stripe", "payment_intents.create", "other", TRANSPORT) is None
    assert book.take_api("stripe", "payment_intents.create", None, TRANSPORT) is None
    assert book.take_api("stripe", "payment_intents.create", "ABCD", frozenset({"rate_limit"})) is None
    for _ in range(2):
        assert book.take_api("stripe", "payment_intents.create", "ABCD", TRANSPORT) is not None
    assert book.take_api("stripe", "payment_intents.create", "ABCD", TRANSPORT) is None


def test_faults_by_chance_follow_the_seed() -> None:
    def hits(seed: int) -> list[bool]:
        book = FaultBook(random.Random(seed))
        book.webhook.append(WebhookFault(1, "stripe", "*", "lost", times=1_000, probability=0.3))
        return [book.take_webhook("stripe", "charge.succeeded", "o") is not None for _ in range(100)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 10 < sum(hits(1)) < 60


def test_a_rate_limit_is_a_sliding_window() -> None:
    clock = SimulatorClock(lambda: 0.0)
    limit = RateLimit(clock, 2, 60.0)
    assert [limit.admit() for _ in range(3)] == [True, True, False]
    assert limit.retry_after() == 61
    clock.advance(60)
    assert limit.admit()
    assert all(RateLimit(clock, 0, 60.0).admit() for _ in range(1_000))


@pytest.mark.parametrize(
    ("minor", "currency", "text"), [(1_999, "usd", "19.99 USD"), (500, "jpy", "500 JPY"), (1_250, "kwd", "1.250 KWD")]
)
def test_amounts_are_shown_in_the_currency_s_digits(minor: int, currency: str, text: str) -> None:
    assert shown(minor, currency) == text
