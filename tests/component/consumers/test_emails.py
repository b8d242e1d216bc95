"""One mail per event that somebody should hear of, with what its order says when it is sent (R-5.4, R-2.6)."""

from datetime import timedelta

import pytest
from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2, orders_pb2

from consumers.emails.events import CONSUMER, TRANSLATIONS, handler
from services.chassis.consumer import redrive
from services.chassis.consumer.parking import park
from services.chassis.inbox import Outcome, Undecodable
from services.chassis.testing import hear
from tests.component.consumers.postroom import ADA, Postroom, of, processing, shipped, stock_low

pytestmark = pytest.mark.requirement("R-5.4")


async def test_the_confirmation_shows_number_name_lines_and_sums(postroom: Postroom) -> None:
    order_id = postroom.order()
    assert await postroom.hear(processing(order_id)) == ["APPLIED"]
    assert await postroom.jobs.send() == 1
    mail = postroom.mail()
    assert (mail.recipients, mail.sender) == ([ADA], "orders@shop.example")
    assert mail.subject == "Your order 7K3M-92QXTF is confirmed"
    for shown in ("Hello Ada Lovelace", "2 x Mug <blue>: 21.00 GBP", "41.00 GBP", "3.95 GBP", "Total: 44.95 GBP"):
        assert shown in mail.text
    for shown in ("7K3M-92QXTF", "Ada Lovelace", "Mug &lt;blue&gt;", "44.95 GBP"):
        assert shown in mail.html
    assert await postroom.states() == ["SENT"]


@pytest.mark.requirement("R-1.20")
async def test_amounts_have_the_decimals_of_their_currency(postroom: Postroom) -> None:
    totals = {"JPY": "4495 JPY", "KWD": "4.495 KWD", "EUR": "44.95 EUR"}
    await postroom.hear(*(processing(postroom.order(currency=code, email=f"{code}@example.org")) for code in totals))
    await postroom.jobs.send()
    for currency, total in totals.items():
        (mail,) = postroom.sink.mails(to=f"{currency}@")
        assert f"Total: {total}" in mail.text and total in mail.html


async def test_before_processing_nothing_is_confirmed(postroom: Postroom) -> None:
    order_id = postroom.order()
    early = [
        orders_events_pb2.OrderCreated(context=of(order_id)),
        orders_events_pb2.OrderConfirmed(context=of(order_id)),
    ]
    assert await postroom.hear(*early) == ["IGNORED", "IGNORED"]
    assert await postroom.jobs.send() == 0


@pytest.mark.requirement("R-2.6")
async def test_a_guest_without_a_name_is_called_customer(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order(name=" ")))
    await postroom.jobs.send()
    assert "Hello Customer" in postroom.mail().text


@pytest.mark.requirement("R-2.6")
async def test_without_an_address_there_is_an_incident_and_the_next_mail_goes_out(postroom: Postroom) -> None:
    none = ["", "no address", "a@b@c", "ada@example.org\r\nBcc: eve@example.org"]
    await postroom.hear(*(processing(postroom.order(email=address)) for address in [*none, ADA]))
    await postroom.jobs.send()
    assert await postroom.states() == ["NO_ADDRESS"] * len(none) + ["SENT"]
    assert await postroom.incidents() == ["mail_without_address"] * len(none)
    assert postroom.mail().recipients == [ADA]


async def test_each_event_of_an_order_has_its_mail_in_order(postroom: Postroom) -> None:
    order_id = postroom.order()
    money = common_pb2.Money(amount_minor=1_050, currency="GBP")
    units = [common_pb2.LineQuantity(line=2, sku="SHIRT", quantity=1)]
    context = of(order_id)
    until = orders_events_pb2.OrderPaymentFailed(context=context)
    until.payable_until.FromDatetime(postroom.clock.now())
    asked = orders_pb2.CANCELLATION_REASON_CUSTOMER
    await postroom.hear(
        until,
        processing(order_id),
        shipped(order_id),
        orders_events_pb2.OrderPartiallyCancelled(context=context, cancelled=units, refund=money),
        orders_events_pb2.OrderCancellationRefused(context=context, reason=asked),
        orders_events_pb2.OrderDelivered(context=context),
        orders_events_pb2.OrderPartiallyRefunded(context=context, refunded=money),
        orders_events_pb2.OrderRefunded(context=context, refunded=money),
        orders_events_pb2.OrderCancelled(context=context, reason=asked, refund=money),
        stock_low(),
    )
    assert await postroom.jobs.send() == len(TRANSLATIONS)
    about_order, about_stock = postroom.sink.mails(to=ADA), postroom.sink.mails(to="stock@shop.example")
    shown = [" ".join(mail.text.split()) for mail in about_order]
    expected = [
        "You can try again until 2026-03-02 09:30 UTC",
        "Total: 44.95 GBP",
        "with Royal Mail: 2 x Mug <blue> Tracking number: RM123 Follow it: https://track.example/RM123",
        "cancelled: 1 x Shirt You get back 10.50 GBP",
        "too late to cancel",
        "was delivered",
        "10.50 GBP in all until now",
        "all the money for your order 7K3M-92QXTF: 10.50 GBP",
        "was cancelled, as you asked. You get back 10.50 GBP",
    ]
    assert [part in text for part, text in zip(expected, shown, strict=True)] == [True] * len(expected)
    assert all("7K3M-92QXTF" in mail.html for mail in about_order)
    assert "MUG at london" in about_stock[0].text and "Available: 2" in about_stock[0].html


async def test_an_order_that_did_not_expire_after_all_gets_no_refusal(postroom: Postroom) -> None:
    expired = orders_pb2.CANCELLATION_REASON_EXPIRED
    message = orders_events_pb2.OrderCancellationRefused(context=of(postroom.order()), reason=expired)
    assert await postroom.hear(message) == ["IGNORED"]


async def test_a_link_that_is_no_web_page_is_not_sent(postroom: Postroom) -> None:
    await postroom.hear(shipped(postroom.order(), tracking_url="javascript:alert(1)"))
    await postroom.jobs.send()
    mail = postroom.mail()
    assert "javascript" not in mail.html + mail.text and "RM123" in mail.html


async def test_an_event_that_comes_again_sends_nothing_again(postroom: Postroom) -> None:
    event = postroom.event(processing(postroom.order()), key="key")
    handle = handler(postroom.clock, postroom.settings.event_age_max)
    for _ in range(2):
        await hear(postroom.database, CONSUMER, handle, [event])
        await postroom.jobs.send()
    async with postroom.database.transaction() as tx:  # even if the inbox had forgotten it
        await handle(tx, [event])
    await postroom.jobs.send()
    assert postroom.mail().message_id == f"<{event.id}@shop.example>"


async def test_old_events_write_to_nobody(postroom: Postroom) -> None:
    assert await postroom.hear(processing(postroom.order()), hours=73) == ["STALE"]
    assert await postroom.states() == []


@pytest.mark.requirement("R-5.6")
@pytest.mark.parametrize(("parked_after_h", "outcome"), [(1, Outcome.APPLIED), (73, Outcome.STALE)])
async def test_what_was_parked_in_time_is_told_when_it_is_redriven(
    postroom: Postroom, parked_after_h: int, outcome: Outcome
) -> None:
    event = postroom.event(processing(postroom.order()), key="key")
    async with postroom.database.transaction() as tx:
        await park(tx, CONSUMER, [event], "a bug", postroom.clock.now())
        await tx.execute("UPDATE parked_events SET parked_at = $1", event.time + timedelta(hours=parked_after_h))
    postroom.clock.advance(timedelta(days=4))
    handle = handler(postroom.clock, postroom.settings.event_age_max)
    redriven = await redrive(postroom.database, CONSUMER, event.topic, event.key, handle)
    assert redriven.outcomes == {event.id: outcome}
    assert await postroom.jobs.send() == (outcome is Outcome.APPLIED)


async def test_a_poison_event_is_not_taken_for_an_unimportant_one(postroom: Postroom) -> None:
    event = postroom.event(processing(postroom.order()))._replace(payload=b"\xff\xff\xff")
    with pytest.raises(Undecodable):
        await hear(postroom.database, CONSUMER, handler(postroom.clock, postroom.settings.event_age_max), [event])
    assert await postroom.states() == []
