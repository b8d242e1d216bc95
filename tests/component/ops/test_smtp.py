"""The SMTP sink: keeps mails, shows them, and refuses on request."""

from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from ops.local.child import LocalStackError
from ops.local.smtp import open_sink


def _mail(subject: str = "Your order 7K3M-92QXTF") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.test", "Zoë <zoe@example.test>", subject
    mail["Message-ID"] = "<1@onefold.test>"
    mail.set_content("Total 12,00 €")
    mail.add_alternative("<p>Total 12,00 €</p>", subtype="html")
    return mail


async def test_a_mail_is_kept_and_shown_with_both_bodies(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink, httpx.AsyncClient(base_url=sink.url) as view:
        await aiosmtplib.send(_mail(), hostname="127.0.0.1", port=sink.port)
        await aiosmtplib.send(_mail("Shipped"), hostname="127.0.0.1", port=sink.port)
        shown = (await view.get("/mails", params={"to": "zoe@", "subject": "7k3m"})).json()
        assert shown["count"] == 1
        mail = shown["mails"][0]
        assert (mail["recipients"], mail["message_id"]) == (["zoe@example.test"], "<1@onefold.test>")
        assert "Total 12,00 €" in mail["text"] and "<p>Total 12,00 €</p>" in mail["html"]
        assert [found["subject"] for found in (await view.get("/mails")).json()["mails"]] == [
            "Shipped",
            mail["subject"],
        ]
        assert (await view.get(f"/mails/{mail['id']}")).json() == mail
        assert (await view.get("/mails/none")).status_code == 404
        headings = (await view.get("/headings")).json()
        assert {key: mail[key] for key in ("id", "subject", "message_id")} in headings
        assert len(headings) == 2
    assert len(list(tmp_path.glob("*.eml"))) == 2


async def test_it_refuses_as_often_as_it_was_told(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink, httpx.AsyncClient(base_url=sink.url) as view:
        await view.post("/refusals", json=["451 try later"])
        with pytest.raises(aiosmtplib.SMTPDataError, match="try later"):
            await aiosmtplib.send(_mail(), hostname="127.0.0.1", port=sink.port)
        await aiosmtplib.send(_mail(), hostname="127.0.0.1", port=sink.port)
        assert len(sink.mails()) == 1


async def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    async with open_sink(tmp_path) as sink:
        with pytest.raises(LocalStackError, match=f"port {sink.port} for SMTP is taken.*ONEFOLD_SMTP_PORT"):
            async with open_sink(tmp_path, port=sink.port):
                pass
