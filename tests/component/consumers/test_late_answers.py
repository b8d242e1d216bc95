"""A mail server that has a letter and does not say so gets it a limited number of times (R-5.4)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from consumers.emails.config import EmailsSettings
from consumers.emails.jobs import EmailsJobs
from consumers.emails.mails import Order
from consumers.emails.smtp import MailServerAway
from services.chassis.testing import wait_until
from tests.component.consumers.postroom import Postroom, processing

pytestmark = pytest.mark.requirement("R-5.4")


@dataclass
class LateServer:
    """Takes every letter; says so to Grace once it `answers`, and to everybody else at once."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    hangs_up: bool = False
    silent_at: bytes = b""
    taken: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        recipient = b""
        try:
            while line := await reader.readline():
                word = line[:4].upper().strip()
                if word == self.silent_at:
                    await self.answers.wait()
                if word == b"RCPT":
                    recipient = line
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    self.taken += 1
                    if b"grace@" in recipient:
                        if self.hangs_up:
                            break
                        await self.answers.wait()
                writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def late(postroom: Postroom, **settings: int) -> AsyncIterator[tuple[LateServer, EmailsJobs]]:
    answering = LateServer()
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
    changed = {"smtp_port": server.sockets[0].getsockname()[1], **settings}
    jobs = EmailsJobs(
        postroom.database, postroom.settings.model_copy(update=changed), postroom.clock, postroom.jobs._reader
    )
    try:
        yield answering, jobs
    finally:
        await asyncio.wait_for(jobs.close(), 10)
        answering.answers.set()
        server.close()
        await server.wait_closed()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders leave every letter that is not taken in a moment."""
    monkeypatch.setattr(EmailsSettings, "patience", timedelta(milliseconds=10))


async def _tries(postroom: Postroom) -> list[int]:
    return [row["tries"] for row in await postroom.database.fetch("SELECT tries FROM mails ORDER BY position")]


async def _are(postroom: Postroom, *states: str) -> bool:
    return await postroom.states() == [*states]


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_a_letter_without_an_answer_goes_out_with_growing_pauses_and_is_parked_at_last(
    postroom: Postroom, hangs_up: bool
) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    pauses = postroom.settings.try_pauses
    async with late(postroom, smtp_data_timeout_ms=50) as (server, jobs):
        server.hangs_up = hangs_up
        for number, pause in enumerate([*pauses, pauses[-1]], start=1):
            assert await jobs.send() == 1
            assert await jobs.send() == 0  # not before the pause is over
            assert server.taken == number
            postroom.clock.advance(pause)
        assert await jobs.send() == 0
    assert await postroom.states() == ["PARKED"]
    assert await postroom.incidents() == ["mail_parked"]


async def test_a_late_answer_is_waited_for_and_holds_up_no_other_letter(postroom: Postroom, impatient: None) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    async with late(postroom, smtp_data_timeout_ms=60_000) as (server, jobs):
        assert await jobs.send() == 0
        await wait_until(lambda: server.taken == 1)
        await postroom.hear(processing(postroom.order()))
        await jobs.send()
        await wait_until(lambda: _are(postroom, "SENDING", "SENT"))
        server.answers.set()
        await wait_until(lambda: _are(postroom, "SENT", "SENT"))
        assert server.taken == 2


async def test_a_server_that_answers_nothing_has_no_more_connections_than_any(
    postroom: Postroom, impatient: None
) -> None:
    most = postroom.settings.smtp_connections
    await postroom.hear(*(processing(postroom.order(email="grace@example.org")) for _ in range(most + 1)))
    async with late(postroom, smtp_data_timeout_ms=60_000) as (server, jobs):
        assert await jobs.send() == 0
        assert await jobs.send() == 0
        assert await postroom.states() == ["SENDING"] * most + ["PLANNED"]
        await wait_until(lambda: server.taken == most)
    assert await postroom.states() == ["PLANNED"] * (most + 1)


async def test_a_stop_waits_for_no_late_answer_and_the_letter_counts_as_tried(
    postroom: Postroom, impatient: None
) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    async with late(postroom, smtp_data_timeout_ms=600_000) as (server, jobs):
        assert await jobs.send() == 0
        await wait_until(lambda: server.taken == 1)
    assert await postroom.states() == ["PLANNED"]
    assert await _tries(postroom) == [1]


async def test_a_stop_meets_a_limit_that_is_over_at_this_moment(postroom: Postroom, impatient: None) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    async with late(postroom, smtp_data_timeout_ms=600_000) as (server, jobs):
        assert await jobs.send() == 0
        await wait_until(lambda: server.taken == 1)
        (limit,) = jobs._server._unanswered
        limit.reschedule(0)
        while not limit.expired():
            await asyncio.sleep(0)
        assert limit in jobs._server._unanswered  # it has fired, and whoever waits has not heard of it yet
        await jobs.close()
        assert await postroom.states() == ["PLANNED"]
        assert await _tries(postroom) == [1]


async def test_at_a_stop_no_letter_is_handed_over_that_was_not_yet(postroom: Postroom, impatient: None) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    goes_on = asyncio.Event()
    really = postroom.jobs._reader

    class HeldUp:
        async def order(self, order_id: str) -> Order:
            await goes_on.wait()
            return await really.order(order_id)

    async with late(postroom, smtp_data_timeout_ms=600_000) as (server, jobs):
        jobs._reader = HeldUp()
        assert await jobs.send() == 0
        closing = asyncio.create_task(jobs.close())
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait_for(closing, 10)
        assert server.taken == 0
    assert await postroom.states() == ["PLANNED"]
    assert await _tries(postroom) == [0]


@pytest.mark.requirement("S-26")
@pytest.mark.parametrize("step", [b"MAIL", b"RCPT"])
async def test_who_answers_nothing_before_data_is_away_and_costs_no_try(postroom: Postroom, step: bytes) -> None:
    await postroom.hear(processing(postroom.order(email="grace@example.org")))
    async with late(postroom, smtp_timeout_ms=50) as (server, jobs):
        server.silent_at = step
        for _ in range(len(postroom.settings.try_pauses) + 2):
            with pytest.raises(MailServerAway):
                await jobs.send()
            postroom.clock.advance(postroom.settings.try_pauses[0])
        assert server.taken == 0
    assert await postroom.states() == ["PLANNED"]
    assert await _tries(postroom) == [0]


async def test_an_address_beyond_ascii_is_written_as_it_is(postroom: Postroom) -> None:
    await postroom.hear(processing(postroom.order(email="ada@ex\u00e4mple.org")))
    assert await postroom.jobs.send() == 1
    assert postroom.mail().recipients == ["ada@ex\u00e4mple.org"]
    assert postroom.mail().headers["To"] == "ada@ex\u00e4mple.org"
