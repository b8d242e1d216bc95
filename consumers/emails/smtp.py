"""The mail server: sends one letter at a time over a connection that is kept while there is work.

Why: its errors are told apart here, once: a letter that will never be taken, one that may be later, a server that is
away. Their texts can hold addresses, so that only codes leave this file.
"""

import asyncio
from email.message import EmailMessage
from types import TracebackType
from typing import Final, Self

import aiosmtplib

from consumers.emails.config import EmailsSettings

_PERMANENT: Final = 500


class LetterRefused(Exception):
    """The server will not take this letter, now or later."""


class LetterPostponed(Exception):
    """The server does not take this letter now."""


class MailServerAway(ConnectionError):
    """The server cannot be reached or used, whatever the letter; what became of it is not known."""


class MailServer:
    """One connection, opened by the first letter: `async with MailServer(settings) as server`."""

    def __init__(self, settings: EmailsSettings) -> None:
        self._settings = settings
        self._client: aiosmtplib.SMTP | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                await client.quit()
            except (aiosmtplib.SMTPException, OSError):
                client.close()

    async def send(self, letter: EmailMessage) -> None:
        """Hand it over; returns when the server has taken it. Raises one of the three errors above.

        It has a limit of its own, because each of its many steps may take as long as a step may.
        """
        try:
            async with asyncio.timeout(self._settings.send_limit.total_seconds()):
                client = self._client = self._client or await self._connect()
                await client.send_message(letter)
        except (aiosmtplib.SMTPException, OSError) as error:
            client_in_doubt, self._client = self._client, None
            if client_in_doubt is not None:
                client_in_doubt.close()
            raise _told(error) from None  # the cause's text can hold the address
        except (ValueError, UnicodeError) as error:
            raise LetterRefused(type(error).__name__) from None

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


def _told(error: Exception) -> Exception:
    """The error as the job needs it, with the server's code but none of its words."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError)):
        kind = LetterRefused if error.code >= _PERMANENT else LetterPostponed
        return kind(f"{type(error).__name__} {error.code}")
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return LetterRefused(type(error).__name__)
    code = f" {error.code}" if isinstance(error, aiosmtplib.SMTPResponseException) else ""
    return MailServerAway(f"{type(error).__name__}{code}")
