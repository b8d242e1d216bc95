"""Mails are sent once as far as SMTP allows, tried again with growing pauses, and parked for a person (R-5.4)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from consumers.emails import store
from consumers.emails.jobs import PER_RUN, EmailsJobs, resend
from consumers.emails.mails import Order
from consumers.emails.smtp import LETTERS_MAX, MailServerAway
from ops.local.ports import free_ports
from services.chassis.testing import wait_until
from tests.component.consumers.postroom import Postroom, processing, shipped

pytestmark = pytest.mark.requirement("R-5.4")
STEP_S = 0.2


async def test_two_senders_send_no_mail_twice(postroom: Postroom) -> None:
    await postroom.hear(*(processing(postroom.order(email=f"c{number}@example.org")) for number in range(20)))
    assert sum(await asyncio.gather(postroom.jobs.send(), postroom.jobs.send())) == 20
    assert len({mail.message_id for mail in postroom.sink.mails()}) == len(postroom.sink.mails()) == 20


async def test_a_mail_waits_for_earlier_ones_of_its_order(postroom: Postroom) -> None:
    order_id = postroom.order()
    await postroom.hear(processing(order_id), shipped(order_id))
    postroom.sink.refuse_next("451 try later")
    assert await postroom.jobs.send() == 1
    assert postroom.sink.mails() == []
    postroom.clock.advance(postroom.settings.try_pauses[0])
    assert await postroom.jobs.send() == 2
    assert ["confirmed" in mail.subject for mail in postroom.sink.mails()] == [True, False]


async def test_after_the_last_pause_it_is_parked_with_an_incident(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    for pause in [*postroom.settings.try_pauses, postroom.settings.try_pauses[-1]]:
        postroom.sink.refuse_next("451 try later")
        await postroom.jobs.send()
        postroom.clock.advance(pause)
    assert await postroom.states() == ["PARKED"]
    assert await postroom.incidents() == ["mail_parked"]
    assert await postroom.jobs.send() == 0


async def test_what_the_server_will_never_take_is_parked_at_once_and_nobody_waits_for_it(postroom: Postroom) -> None:
    order_id = postroom.order()
    await postroom.hear(processing(order_id), shipped(order_id))
    postroom.sink.refuse_next("554 no such mailbox ada@example.org")
    await postroom.jobs.send()
    assert await postroom.states() == ["PARKED", "SENT"]
    details = await postroom.database.fetchval("SELECT details::text FROM incidents")
    assert "554" in details and "ada@" not in details


@pytest.mark.requirement("S-26")
async def test_a_server_that_is_away_for_long_costs_no_try_and_is_told(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    away = postroom.settings.model_copy(update={"smtp_port": free_ports(1)[0]})
    jobs = EmailsJobs(postroom.database, away, postroom.clock, postroom.jobs._reader)
    for _ in range(len(away.try_pauses) + 2):
        with pytest.raises(MailServerAway):
            await jobs.send()
        assert await postroom.states() == ["PLANNED"]
        postroom.clock.advance(away.try_pauses[0])
    assert await postroom.jobs.send() == 1
    assert len(postroom.sink.mails()) == 1


@pytest.mark.requirement("S-26")
async def test_while_orders_is_away_mails_wait(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    postroom.orders.away = True
    for _ in range(len(postroom.settings.try_pauses) + 2):
        await postroom.jobs.send()
        assert await postroom.states() == ["PLANNED"]
        postroom.clock.advance(postroom.settings.try_pauses[0])
    postroom.orders.away = False
    await postroom.jobs.send()
    assert await postroom.states() == ["SENT"]


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server that takes nearly as long as a step may for every step, and takes every mail."""
    answers = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}
    line = b""
    while True:
        await asyncio.sleep(STEP_S)
        writer.write(answers.get(line[:4].upper().strip(), b"250 fine" if line else b"220 ready") + b"\r\n")
        line = await reader.readuntil(b"\r\n.\r\n" if line[:4].upper() == b"DATA" else b"\r\n")


async def test_a_send_of_many_slow_steps_ends_before_somebody_else_may_begin_it(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    server = await asyncio.start_server(_slow, "127.0.0.1", 0)
    slow = {
        "smtp_port": server.sockets[0].getsockname()[1],
        "smtp_timeout_ms": int(STEP_S * 1300),
        "call_timeout_ms": 2_000,
    }
    settings = postroom.settings.model_copy(update=slow)
    jobs = EmailsJobs(postroom.database, settings, postroom.clock, postroom.jobs._reader)
    async with server:
        with pytest.raises(MailServerAway, match="TimeoutError"):
            await jobs.send()
    assert await postroom.states() == ["PLANNED"]
    assert (
        settings.offer_limit + timedelta(milliseconds=settings.call_timeout_ms) + settings.data_limit < settings.lease
    )


async def test_a_run_is_short_because_a_stop_waits_for_it(postroom: Postroom) -> None:
    most = PER_RUN * postroom.settings.smtp_connections
    await postroom.hear(*(processing(postroom.order()) for _ in range(most + 1)))
    assert PER_RUN <= 32
    assert await postroom.jobs.send() == most
    assert await postroom.jobs.send() == 1


async def test_a_sender_that_died_is_followed_by_another_with_the_same_message_id(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    (dead,) = await store.claim(postroom.database, postroom.clock.now(), postroom.settings.lease, limit=1)
    assert await postroom.jobs.send() == 0  # its lease runs
    await postroom.database.fetch("UPDATE mails SET lease_until = clock_timestamp()")
    assert await postroom.jobs.send() == 1
    assert postroom.mail().message_id == f"<{dead.mail.event_id}@shop.example>"
    assert not await store.settle_sent(postroom.database, [dead], postroom.clock.now())
    async with postroom.database.transaction() as tx:
        assert not await store.settle(tx, dead, "PARKED", "too late", postroom.clock.now())
    assert await postroom.states() == ["SENT"]


async def test_a_person_sends_again_what_was_given_up(postroom: Postroom) -> None:
    order_id = postroom.order(email="")
    await postroom.hear(processing(order_id))
    await postroom.jobs.send()
    (given_up,) = await store.unsent(postroom.database, 10)
    assert (given_up["state"], given_up["subject"]) == ("NO_ADDRESS", order_id)
    postroom.orders.orders[order_id].email = "ada@example.org"
    assert await resend(postroom.database, given_up["event_id"], "operator", postroom.clock.now())
    assert await postroom.incidents() == []
    await postroom.jobs.send()
    assert postroom.mail().recipients == ["ada@example.org"]
    assert not await resend(postroom.database, given_up["event_id"], "operator", postroom.clock.now())


async def test_senders_that_die_on_it_again_and_again_park_it(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()))
    for _ in range(len(postroom.settings.try_pauses) + 1):
        await store.claim(postroom.database, postroom.clock.now(), postroom.settings.lease, limit=1)
        await postroom.database.fetch("UPDATE mails SET lease_until = clock_timestamp()")
    await postroom.jobs.send()
    assert await postroom.states() == ["PARKED"]
    assert postroom.sink.mails() == []


async def test_mails_of_long_gone_events_are_forgotten(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order()), processing(postroom.order()))
    await postroom.jobs.send()
    assert await postroom.jobs.purge() == 0
    await postroom.database.fetch("UPDATE mails SET settled_at = settled_at - interval '61 days' WHERE position = 1")
    assert await postroom.jobs.purge() == 1
    assert await postroom.states() == ["SENT"]


async def test_a_mail_is_marked_while_another_is_still_being_sent(postroom: Postroom) -> None:
    """Between the server's answer and the mark a crash sends a mail again: nobody's slowness makes that longer."""
    slow, quick = postroom.order(), postroom.order(email="quick@example.org")
    await postroom.hear(processing(slow), processing(quick))
    goes_on = asyncio.Event()
    really = postroom.jobs._reader

    class HeldUp:
        async def order(self, order_id: str) -> Order:
            if order_id == slow:
                await goes_on.wait()
            return await really.order(order_id)

    postroom.jobs._reader = HeldUp()
    sending = asyncio.create_task(postroom.jobs.send())

    async def is_marked() -> bool:
        return await postroom.states() == ["SENDING", "SENT"]

    await wait_until(is_marked)
    goes_on.set()
    assert await sending == 2


class CountingServer:
    """A mail server that takes everything and counts its connections; `hangs_up` after each mail."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.hangs_up = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        writer.write(b"220 ready\r\n")
        try:
            while line := await reader.readline():
                match line[:4].upper().strip():
                    case b"DATA":
                        writer.write(b"354 go on\r\n")
                        await reader.readuntil(b"\r\n.\r\n")
                        writer.write(b"250 kept\r\n")
                        if self.hangs_up:
                            break
                    case b"QUIT":
                        writer.write(b"221 bye\r\n")
                        break
                    case _:
                        writer.write(b"250 fine\r\n")
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def _counted(postroom: Postroom) -> AsyncIterator[tuple[CountingServer, EmailsJobs]]:
    counting = CountingServer()
    server = await asyncio.start_server(counting.serve, "127.0.0.1", 0)
    settings = postroom.settings.model_copy(update={"smtp_port": server.sockets[0].getsockname()[1]})
    jobs = EmailsJobs(postroom.database, settings, postroom.clock, postroom.jobs._reader)
    async with server:
        yield counting, jobs
        await jobs.close()


async def test_a_connection_is_kept_for_the_next_mails_and_closed_at_the_end(postroom: Postroom) -> None:
    async with _counted(postroom) as (counting, jobs):
        for _ in range(5):
            await postroom.hear(processing(postroom.order()))
            assert await jobs.send() == 1
        assert (counting.connections, counting.open) == (1, 1)
    await wait_until(lambda: counting.open == 0)


async def test_a_connection_takes_no_more_mails_than_servers_like(postroom: Postroom) -> None:
    async with _counted(postroom) as (counting, jobs):
        for _ in range(LETTERS_MAX + 1):
            await postroom.hear(processing(postroom.order()))
            await jobs.send()
        assert counting.connections == 2


async def test_a_connection_that_the_server_closed_is_not_used_again(postroom: Postroom) -> None:
    async with _counted(postroom) as (counting, jobs):
        counting.hangs_up = True
        for number in range(3):
            await postroom.hear(processing(postroom.order()))
            assert await jobs.send() == 1
            await wait_until(lambda: not any(each.client.is_connected for each in jobs._server._idle))
            assert counting.connections == number + 1
    assert await postroom.states() == ["SENT"] * 3


async def test_a_claim_costs_no_more_the_more_mails_of_an_order_wait(postroom: Postroom) -> None:
    """Counted in pages read: as a join of all open mails with all it was a hundred times as much."""
    orders = [postroom.order() for _ in range(150)]
    await postroom.hear(*(event(order_id) for order_id in orders for event in (processing, shipped) for _ in range(2)))
    plan = await postroom.database.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {store._CLAIM}", postroom.clock.now(), timedelta(minutes=1), 4
    )
    (explained,) = json.loads(plan)
    assert explained["Plan"]["Shared Hit Blocks"] < 5 * 4 * len(orders)
