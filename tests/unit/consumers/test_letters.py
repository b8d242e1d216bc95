"""Every kind of mail has its letter, and nothing that a customer typed becomes more than text (R-5.4)."""

from datetime import UTC, datetime

import pytest

from consumers.emails import letters
from consumers.emails.config import EmailsSettings
from consumers.emails.events import TRANSLATIONS
from consumers.emails.mails import Kind, Line, Order, PlannedMail

pytestmark = pytest.mark.requirement("R-5.4")

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LINE = Line(1, "Mug", 2, 1_050, 2_100)
ORDER = Order("7K3M-92QXTF", "<script>Zoë</script>", "zoe@example.org", "GBP", (LINE,), 2_100, 395, -100, 2_395)
SETTINGS = EmailsSettings.model_validate({"profile": "test", "database_url": "", "shop_name": "Møller & Søn"})


def test_every_kind_has_an_event_a_subject_and_two_templates() -> None:
    assert {kind for kind, _ in TRANSLATIONS.values()} == set(Kind) == set(letters.SUBJECTS)
    for kind in Kind:
        assert all((letters.TEMPLATES / f"{kind}.{ending}").is_file() for ending in ("txt", "html"))


def test_a_letter_says_who_writes_to_whom_and_escapes_what_customers_typed() -> None:
    mail = PlannedMail("11", Kind.ORDER_CONFIRMED, "o", {}, NOW)
    letter = letters.Letters(SETTINGS).write(mail, ORDER, ORDER.email, NOW)
    assert str(letter["From"]) == "Møller & Søn <orders@shop.example>"
    assert (str(letter["To"]), str(letter["Message-ID"])) == ("zoe@example.org", "<11@shop.example>")
    text, html = (letter.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    assert "<script>" in text and "<script>" not in html and "&lt;script&gt;Zoë" in html
    assert "Adjustments: -1.00 GBP" in text and "Møller &amp; Søn" in html


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "a@example.org\nBcc: eve@example.org", "a b@example.org"])
def test_what_is_no_address_gets_no_letter(address: str) -> None:
    mail = PlannedMail("11", Kind.ORDER_DELIVERED, "o", {}, NOW)
    with pytest.raises(letters.NotAnAddress):
        letters.Letters(SETTINGS).write(mail, ORDER, address, NOW)


def test_links_are_links_of_the_web() -> None:
    assert letters.web_link("https://track.example/1?a=b") == "https://track.example/1?a=b"
    for other in ("javascript:alert(1)", "//track.example", "data:text/html,x", "https://", "http://[", ""):
        assert letters.web_link(other) == ""
