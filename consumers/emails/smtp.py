"""The mail server: sends letters over a few connections that are kept while there is work.

Why: its errors are told apart here, once: a letter that will never be taken, one that may be later, a server that is
away. Once DATA has begun the server may have the letter whatever it says then, so that trying again is limited. Texts
of errors can hold addresses, so that only codes leave this file.
"""

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTPUTF8
from typing import Final

import aiosmtplib

from consumers.emails.config import EmailsSettings

LETTERS_MAX: Final = 16  # of one connection: servers count
_PERMANENT: Final = 500
_IDLE_S: Final = 2.0  # far less than servers wait, so that none hangs up at the moment when a letter comes


class LetterRefused(Exception):
    """The server will not take this letter, now or later."""


class LetterPostponed(Exception):
    """The server does not take this letter now, or has not said that it did."""


class MailServerAway(ConnectionError):
    """The server cannot be reached or used, whatever the letter; it has got none."""


class MailServer:
    """Connections are opened when letters need them; one that was idle for a moment or took its share is closed."""

    def __init__(self, settings: EmailsSettings) -> None:
        self._settings = settings
        self._idle: list[_Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._unanswered: set[asyncio.Timeout] = set()
        self._has_time = True

    def wait_no_more(self) -> None:
        """Postpone the letters for whose DATA an answer is waited for, and begin no other: a stop has no minutes."""
        self._has_time = False
        for limit in self._unanswered:
            if not limit.expired():  # one that has just fired can be set no more
                limit.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Close what is idle; nothing may be under way."""
        while self._idle:
            self._close(self._idle.pop())
        await asyncio.gather(*self._closing)

    async def send(self, letter: EmailMessage) -> None:
        """Hand it over; returns when the server has taken it. Raises one of the three errors above.

        What comes before DATA has a limit of its own, because each of its steps may take as long as a step may.
        """
        connection: _Connection | None = None
        told = _told
        try:
            async with asyncio.timeout(self._settings.offer_limit.total_seconds()):
                connection = self._take() or _Connection(await self._connect())
                content = await self._offer(connection.client, letter)
            if not self._has_time:
                raise ConnectionAbortedError
            told = _told_of_data
            await self._hand_over(connection.client, content)
        except BaseException as error:
            if connection is not None:
                connection.client.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError)):
                raise told(error) from None  # the cause's text can hold the address
            if isinstance(error, ValueError):
                raise LetterRefused(type(error).__name__) from None
            raise
        self._keep(connection)

    async def _offer(self, client: aiosmtplib.SMTP, letter: EmailMessage) -> bytes:
        """Say who writes to whom; returns the letter as DATA takes it."""
        sender, recipient = self._settings.from_address, str(letter["To"])
        if sender.isascii() and recipient.isascii():
            await client.mail(sender)
            await client.rcpt(recipient)
            return letter.as_bytes()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if not client.supports_extension("smtputf8"):
            raise aiosmtplib.SMTPNotSupported("SMTPUTF8")
        await client.mail(sender, options=["SMTPUTF8", "BODY=8BITMIME"], encoding="utf-8")
        await client.rcpt(recipient, encoding="utf-8")
        return letter.as_bytes(policy=SMTPUTF8)

    async def _hand_over(self, client: aiosmtplib.SMTP, content: bytes) -> None:
        async with asyncio.timeout(self._settings.data_limit.total_seconds()) as limit:
            self._unanswered.add(limit)
            try:
                await client.data(content, timeout=None)
            finally:
                self._unanswered.remove(limit)

    def _take(self) -> "_Connection | None":
        """One that is idle and was not closed by the server."""
        while self._idle:
            connection = self._idle.pop()
            if connection.until is not None:
                connection.until.cancel()
            if connection.client.is_connected:
                return connection
        return None

    def _keep(self, connection: "_Connection") -> None:
        connection.letters += 1
        if connection.letters == LETTERS_MAX:
            self._close(connection)
            return
        connection.until = asyncio.get_running_loop().call_later(_IDLE_S, self._close_idle, connection)
        self._idle.append(connection)

    def _close_idle(self, connection: "_Connection") -> None:
        self._idle.remove(connection)
        self._close(connection)

    def _close(self, connection: "_Connection") -> None:
        if connection.until is not None:
            connection.until.cancel()
        closing = asyncio.create_task(_quit(connection.client))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            local_hostname=settings.sender_domain,
            username=settings.smtp_username or None,
            password=settings.smtp_password.get_secret_value() or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            timeout=settings.smtp_timeout_ms / 1000,
        )
        await client.connect()
        return client


@dataclass(slots=True, eq=False)
class _Connection:
    client: aiosmtplib.SMTP
    letters: int = 0
    until: asyncio.TimerHandle | None = None


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=_IDLE_S)
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def _told(error: Exception) -> Exception:
    """The error as the job needs it, with the server's code but none of its words."""
    if isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return _by_code(error)
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return LetterRefused(type(error).__name__)
    return MailServerAway(_name(error))


def _told_of_data(error: Exception) -> Exception:
    """The same from DATA on. Without an answer nobody knows whether the server has the letter: it counts as a try."""
    return _by_code(error) if isinstance(error, aiosmtplib.SMTPDataError) else LetterPostponed(_name(error))


def _by_code(error: aiosmtplib.SMTPResponseException) -> Exception:
    return (LetterRefused if error.code >= _PERMANENT else LetterPostponed)(_name(error))


def _name(error: Exception) -> str:
    code = f" {error.code}" if isinstance(error, aiosmtplib.SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
