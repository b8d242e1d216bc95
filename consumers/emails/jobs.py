"""The door for time: planned mails are sent, old ones forgotten.

Why: sending is retried with growing pauses and then parked for a person. What cannot be ruled out is a crash between
the server's "taken" and our mark, or a "taken" that never arrives: such a letter goes out again, a limited number of
times, with the same Message-ID; SMTP allows no more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from consumers.emails import store
from consumers.emails.config import EmailsSettings
from consumers.emails.letters import Letters, NotAnAddress
from consumers.emails.mails import ClaimedMail, Order
from consumers.emails.smtp import LetterPostponed, LetterRefused, MailServer, MailServerAway
from services.chassis.batch import Batcher
from services.chassis.clock import Clock
from services.chassis.db import Database, Transaction
from services.chassis.errors import Code, DomainError
from services.chassis.incidents import Incident, open_incidents, resolve_about
from services.chassis.jobs import Job
from services.chassis.partitions import KEEP_DAYS, keep_partitions
from services.chassis.telemetry import counter, get_logger

log = get_logger(__name__)

NO_ADDRESS: Final = "mail_without_address"
PARKED: Final = "mail_parked"
PER_RUN: Final = 16  # most mails of one sender in one run: a process that stops waits for no more
PURGE_BATCH: Final = 1_000
_AWAY: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)

_mails = counter("mails_total", "Mails by kind and what became of them", ["kind", "outcome"])


class OrderReader(Protocol):
    """Who knows orders."""

    async def order(self, order_id: str) -> Order:
        """The order as it is now. Raises DomainErrors."""


async def resend(database: Database, event_id: str, actor: str, now: datetime) -> bool:
    """Plan a mail that was given up anew, and close its incident; False if there is no such mail."""

    async def body(tx: Transaction) -> bool:
        revived = await store.revive(tx, event_id, now)
        if revived:
            for kind in (PARKED, NO_ADDRESS):
                await resolve_about(tx, kind, event_id, "sent again", actor)
        return revived

    return await database.run(body)


class EmailsJobs:
    """Every job of e-mails; each run is bounded and says how much it did."""

    def __init__(self, database: Database, settings: EmailsSettings, clock: Clock, reader: OrderReader) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._reader = reader
        self._letters = Letters(settings)
        self._server = MailServer(settings)
        self._claims = Batcher[None, ClaimedMail | None](self._claim, name="mails-claim")
        self._marks = Batcher[ClaimedMail, bool](self._mark, name="mails-mark")
        self._unanswered: set[asyncio.Task[None]] = set()

    def all(self) -> list[Job]:
        """The jobs for the runner."""
        return [
            Job("emails-send", self.send, timedelta(milliseconds=self._settings.job_interval_ms), store.PLANNED),
            Job("emails-purge", self.purge, timedelta(minutes=10)),
            Job("emails-partitions", self.keep_partitions, timedelta(days=1)),
        ]

    async def close(self) -> None:
        """Finish what is being written, postpone what waits for an answer, and hang up; no job may be running."""
        self._server.wait_no_more()
        await asyncio.gather(*self._unanswered, return_exceptions=True)
        await asyncio.gather(self._claims.close(), self._marks.close())
        await self._server.close()

    async def send(self) -> int:
        """Send what is due, several at a time. Raises MailServerAway, which is no loss: mails wait."""
        senders = [self._work_off() for _ in range(self._settings.smtp_connections - len(self._unanswered))]
        results = await asyncio.gather(*senders, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result for result in results if isinstance(result, int))

    async def keep_partitions(self) -> int:
        """Make partitions for what is to come and drop old ones (S-28)."""
        return await keep_partitions(self._database)

    async def purge(self) -> int:
        """Forget mails whose events are long gone from the topics."""
        before = self._clock.now() - timedelta(days=KEEP_DAYS)
        return await self._database.run(lambda tx: store.purge(tx, before, PURGE_BATCH))

    async def _work_off(self) -> int:
        done = 0
        while done < PER_RUN and (claimed := await self._claims.submit(None)) is not None:
            if not await self._deliver_soon(claimed):
                break
            done += 1
        return done

    async def _deliver_soon(self, claimed: ClaimedMail) -> bool:
        """False if the server takes long to answer: no other mail and no stop waits for that, which may be minutes."""
        delivery = asyncio.create_task(self._deliver(claimed))
        try:
            await asyncio.wait({delivery}, timeout=self._settings.patience.total_seconds())
        except asyncio.CancelledError:
            delivery.cancel()
            await asyncio.wait({delivery})
            raise
        if delivery.done():
            await delivery
            return True
        self._unanswered.add(delivery)
        delivery.add_done_callback(self._answered)
        return False

    def _answered(self, delivery: asyncio.Task[None]) -> None:
        self._unanswered.remove(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            log.warning("late_mail_failed", error=repr(error))  # its lease ends, and somebody sends it again

    async def _claim(self, senders: Sequence[None]) -> list[ClaimedMail | None]:
        """A mail for each sender that is free at this moment, and none that would have to wait for one."""
        claimed = await store.claim(self._database, self._clock.now(), self._settings.lease, len(senders))
        return [*claimed, *[None] * (len(senders) - len(claimed))]

    async def _mark(self, sent: Sequence[ClaimedMail]) -> list[bool]:
        """Mark mails as sent, each without waiting for those that are still being sent."""
        marked = await store.settle_sent(self._database, sent, self._clock.now())
        return [each.mail.event_id in marked for each in sent]

    async def _deliver(self, claimed: ClaimedMail) -> None:
        if claimed.tries > len(self._settings.try_pauses) + 1:  # its senders died, again and again
            await self._park(claimed, "no sender came back")
            return
        mail = claimed.mail
        try:
            order = None if mail.is_for_shop else await self._reader.order(mail.subject)
            to = self._settings.shop_address if order is None else order.email
            if not to:
                raise NotAnAddress
            await self._server.send(self._letters.write(mail, order, to, self._clock.now()))
        except NotAnAddress:
            await self._settle_with_incident(claimed, "NO_ADDRESS", NO_ADDRESS, {})
        except LetterRefused as error:
            await self._park(claimed, str(error))
        except LetterPostponed as error:
            await self._postpone(claimed, str(error))
        except DomainError as error:
            wait = self._wait if error.code in _AWAY else self._postpone
            await wait(claimed, f"orders: {error.reason}")
        except MailServerAway as error:
            await self._wait(claimed, str(error))
            raise
        except Exception as error:  # the mail itself: a template, an address; its own pauses end in a parked mail
            log.exception("mail_failed", event_id=mail.event_id, kind=mail.kind.value)
            await self._postpone(claimed, type(error).__name__)
        else:
            # The server has the letter: a stop must not forget it.
            if await asyncio.shield(self._marks.submit(claimed)):
                _mails.labels(mail.kind.value, "sent").inc()
                log.info("mail_sent", event_id=mail.event_id, kind=mail.kind.value, subject=mail.subject)

    async def _wait(self, claimed: ClaimedMail, reason: str) -> None:
        """Somebody whom every mail needs is away: it takes no try, however long that lasts (S-26)."""
        until = self._clock.now() + next(iter(self._settings.try_pauses), timedelta())
        await store.postpone(self._database, claimed, reason, until, counts=False)
        _mails.labels(claimed.mail.kind.value, "postponed").inc()
        log.warning("mail_waits", event_id=claimed.mail.event_id, reason=reason)

    async def _postpone(self, claimed: ClaimedMail, reason: str) -> None:
        """Wait for the next pause; after the last one it is parked."""
        pauses = self._settings.try_pauses
        if claimed.tries > len(pauses):
            await self._park(claimed, reason)
            return
        until = self._clock.now() + pauses[claimed.tries - 1]
        await store.postpone(self._database, claimed, reason, until)
        _mails.labels(claimed.mail.kind.value, "postponed").inc()
        log.warning("mail_postponed", event_id=claimed.mail.event_id, tries=claimed.tries, reason=reason)

    async def _park(self, claimed: ClaimedMail, reason: str) -> None:
        await self._settle_with_incident(claimed, "PARKED", PARKED, {"tries": claimed.tries, "reason": reason})

    async def _settle_with_incident(
        self, claimed: ClaimedMail, state: str, kind: str, details: Mapping[str, Any]
    ) -> None:
        """End it unsent, and let a person know; nothing else fails (R-2.6)."""
        mail, now = claimed.mail, self._clock.now()
        incident = Incident(
            kind=kind,
            subject=mail.event_id,
            order_id="" if mail.is_for_shop else mail.subject,
            opened_at=now,
            details={"kind": mail.kind.value, "about": mail.subject, **details},
        )

        async def body(tx: Transaction) -> bool:
            settled = await store.settle(tx, claimed, state, str(details.get("reason", "")), now)
            if settled:
                await open_incidents(tx, [incident])
            return settled

        if await self._database.run(body):
            _mails.labels(mail.kind.value, state.lower()).inc()
            log.error("mail_not_sent", event_id=mail.event_id, kind=mail.kind.value, state=state)
