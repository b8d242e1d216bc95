"""An SMTP server that keeps every mail as a file and shows them over HTTP.

Why: mails of the local stack must go nowhere, and people and tests must be able to read them.
"""

import asyncio
import email
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default as modern
from pathlib import Path
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ops.local import ports
from ops.local.child import LocalStackError
from ops.local.paths import state_folder
from ops.local.smtp_view import shown

MESSAGE_BYTES: Final = 10 * 1024 * 1024


class SmtpSinkSettings(BaseSettings):
    """`ONEFOLD_SMTP_...`: the mail sink of the local stack."""

    model_config = SettingsConfigDict(env_prefix="ONEFOLD_SMTP_", extra="ignore")

    port: int = Field(8025, ge=0, le=65535, description="SMTP port; 0 takes a free one")
    http_port: int = Field(8026, ge=0, le=65535, description="HTTP port that shows the mails; 0 takes a free one")
    folder: Path = Field(
        default_factory=lambda: state_folder() / "mails", description="where mails are kept, one .eml file each"
    )


@dataclass(frozen=True)
class Mail:
    """One received mail. `id` names its file; `text` and `html` are the bodies, empty if the mail has none."""

    id: str
    received_at: float
    sender: str
    recipients: list[str]
    subject: str
    message_id: str
    text: str
    html: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Heading:
    """What a list of many mails needs, at a fraction of the work."""

    id: str
    subject: str
    message_id: str


@dataclass
class SmtpSink:
    """The sink inside a process: `async with open_sink(folder) as sink`."""

    folder: Path
    port: int = 0
    http_port: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the mails are shown: /mails?to=&subject=&limit=, /mails/{id}, /headings, /refusals, /healthz."""
        return f"http://{ports.HOST}:{self.http_port}"

    def mails(self, to: str = "", subject: str = "") -> list[Mail]:
        """Mails in the order of their arrival; `to` and `subject` are parts of what must be there."""
        found = (read(path) for path in sorted(self.folder.glob("*.eml")))
        return [mail for mail in found if _contains(mail.recipients, to) and subject.lower() in mail.subject.lower()]

    def headings(self) -> list[Heading]:
        """Every mail's, in the order of their arrival."""
        return [heading(path) for path in sorted(self.folder.glob("*.eml"))]

    def refuse_next(self, *answers: str) -> None:
        """Answer the next mails with these lines, such as `451 try later`, instead of taking them."""
        self.refusals.extend(answers)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook for a whole mail; 250 only after the file is on disk."""
        if self.refusals:
            return self.refusals.pop(0)
        mail_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        head = {"sender": envelope.mail_from or "", "recipients": list(envelope.rcpt_tos)}
        fresh = self.folder / f"{mail_id}.fresh"
        with fresh.open("wb") as file:
            file.write(f"X-Onefold-Envelope: {json.dumps(head)}\r\n".encode() + content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.folder / f"{mail_id}.eml")
        return "250 kept"


def read(path: Path) -> Mail:
    """The mail in a file of the sink."""
    message = email.message_from_bytes(path.read_bytes(), policy=modern)
    assert isinstance(message, EmailMessage)
    envelope = json.loads(str(message["X-Onefold-Envelope"]).replace("\n", ""))
    del message["X-Onefold-Envelope"]
    return Mail(
        id=path.stem,
        received_at=int(path.stem.split("-")[0]) / 1e9,
        sender=envelope["sender"],
        recipients=envelope["recipients"],
        subject=str(message["Subject"] or ""),
        message_id=str(message["Message-ID"] or "").strip(),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers={name: str(value) for name, value in message.items()},
    )


def heading(path: Path) -> Heading:
    """The heading of the mail in a file of the sink."""
    with path.open("rb") as file:
        head = BytesHeaderParser().parse(file)  # the old policy: no header is taken apart
    subject = str(make_header(decode_header(head["Subject"] or "")))
    return Heading(path.stem, subject, (head["Message-ID"] or "").strip())


@asynccontextmanager
async def open_sink(folder: Path, port: int = 0, http_port: int = 0) -> AsyncIterator[SmtpSink]:
    """Serve SMTP and HTTP on 127.0.0.1 until the block ends. 0 takes a free port. Raises LocalStackError if taken."""
    folder.mkdir(parents=True, exist_ok=True)
    sink = SmtpSink(folder)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(sink, hostname="onefold.test", enable_SMTPUTF8=True, data_size_limit=MESSAGE_BYTES, loop=loop)

    with (
        ports.listen(port, "SMTP", "ONEFOLD_SMTP_PORT") as smtp_socket,
        ports.listen(http_port, "the mails' view", "ONEFOLD_SMTP_HTTP_PORT") as http_socket,
    ):
        sink.port, sink.http_port = smtp_socket.getsockname()[1], http_socket.getsockname()[1]
        smtp = await loop.create_server(session, sock=smtp_socket)
        async with smtp, shown(sink, http_socket):
            yield sink


def _contains(values: list[str], part: str) -> bool:
    return not part or any(part.lower() in value.lower() for value in values)


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return "" if part is None else str(part.get_content())


async def _serve(settings: SmtpSinkSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_sink(settings.folder, settings.port, settings.http_port):
        await stop.wait()


def main() -> None:
    """`python -m ops.local.smtp`."""
    try:
        asyncio.run(_serve(SmtpSinkSettings()))
    except LocalStackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
