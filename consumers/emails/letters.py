"""Letters: a planned mail and its order as text and HTML.

Why: what a customer typed is shown and never trusted: HTML is escaped, links are web links, headers take no line ends.
"""

from collections.abc import Mapping
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from consumers.emails.config import EmailsSettings
from consumers.emails.mails import Kind, Order, PlannedMail
from services.chassis.money import decimal_text

TEMPLATES: Final = Path(__file__).parent / "templates"
NAMELESS: Final = "Customer"
_PLAIN_LENGTH: Final = 70  # of name and value: a line has at most 78 characters

SUBJECTS: Final[Mapping[Kind, str]] = {
    Kind.ORDER_CONFIRMED: "Your order {number} is confirmed",
    Kind.PAYMENT_FAILED: "The payment of your order {number} failed",
    Kind.ORDER_SHIPPED: "Your order {number} is on its way",
    Kind.ORDER_DELIVERED: "Your order {number} was delivered",
    Kind.ORDER_CANCELLED: "Your order {number} was cancelled",
    Kind.ORDER_PARTIALLY_CANCELLED: "Part of your order {number} was cancelled",
    Kind.CANCELLATION_REFUSED: "Your order {number} could not be cancelled",
    Kind.ORDER_PARTIALLY_REFUNDED: "Part of the money for your order {number} was given back",
    Kind.ORDER_REFUNDED: "The money for your order {number} was given back",
    Kind.STOCK_LOW: "Low stock: {number}",
}
WHY: Final[Mapping[str, str]] = {
    "CUSTOMER": ", as you asked",
    "EXPIRED": " because it was not paid in time",
    "PAYMENT_FAILED": " because the payment did not go through",
    "STOCK": " because we cannot deliver the goods",
}
"""What a customer is told about the reason of a cancellation; of others nothing."""


class NotAnAddress(Exception):
    """No mail can be written to this address."""


class Letters:
    """Writes letters in the shop's name."""

    def __init__(self, settings: EmailsSettings) -> None:
        self._settings = settings
        self._from = str(Address(settings.shop_name, addr_spec=settings.from_address))
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters["money"] = money
        self._templates.filters["web_link"] = web_link
        self._templates.filters["moment"] = moment

    def write(self, mail: PlannedMail, order: Order | None, to: str, now: datetime) -> EmailMessage:
        """The letter. Its Message-ID comes from the event, so that a second copy can be known as one.

        Raises NotAnAddress.
        """
        number = order.number if order else mail.subject
        words = {
            "shop": self._settings.shop_name,
            "name": (order.name.strip() if order else "") or NAMELESS,
            "number": number,
            "order": order,
            "names": {line.number: line.name for line in order.lines} if order else {},
            "why": WHY.get(mail.details.get("reason", ""), ""),
            **mail.details,
        }
        letter = EmailMessage(_PLAIN)
        letter["From"] = self._from
        letter["To"] = str(_address(to))
        letter["Subject"] = SUBJECTS[mail.kind].format(number=number)
        letter["Date"] = format_datetime(now)
        letter["Message-ID"] = message_id(mail.event_id, self._settings.sender_domain)
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(self._templates.get_template(f"{mail.kind}.txt").render(words))
        letter.add_alternative(self._templates.get_template(f"{mail.kind}.html").render(words), subtype="html")
        letter.set_boundary(f"=_{token_hex(8)}")  # one that fits on its line
        return letter


class _Plain(EmailPolicy):
    """Keeps a header that needs no encoding and no fold as it is: taking all apart cost two thirds of a letter."""

    def header_max_count(self, name: str) -> int:
        """Each once."""
        return 1

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        """Only what is not plain is taken apart; a line end is refused there."""
        is_plain = isinstance(value, str) and value.isascii() and value.isprintable()
        if is_plain and len(name) + len(value) <= _PLAIN_LENGTH:
            return name, value
        return super().header_store_parse(name, value)

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        """As it is kept."""
        return value


_PLAIN: Final = _Plain(linesep="\r\n", cte_type="7bit")  # as every mail server takes it


def message_id(event_id: str, domain: str) -> str:
    """The same for the same event, whoever sends it and however often."""
    return f"<{event_id}@{domain}>"


def money(amount_minor: int, currency: str) -> str:
    """`1050, KWD` -> `1.050 KWD` (R-1.20)."""
    return f"{decimal_text(amount_minor, currency)} {currency}"


def moment(text: str) -> str:
    """`2026-03-02T09:30:00` -> `2026-03-02 09:30 UTC`."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def web_link(url: str) -> str:
    """The URL if it is one of the web, else nothing: `javascript:` and the like are no tracking pages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""


def _address(text: str) -> Address:
    try:
        return Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        raise NotAnAddress from None  # the cause's text holds the address
