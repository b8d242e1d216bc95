"""The hundred checkouts that the demo plays, chosen by a seed.

Why: a run can be repeated, and each story says beforehand how it may end, so that the demo can be wrong.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ops.demo.catalogue import Row


class Story(StrEnum):
    """What happens at one checkout; the value is shown."""

    TIMES_OUT = "provider's answer lost"
    LAST_UNIT = "two buyers, one unit"
    LEAVES = "cart abandoned"
    PAYS = "pays by card"
    PAYS_ON_PAGE = "pays on Stripe's page"
    GUEST = "guest"
    DECLINED = "declined, tries again"
    AUTHENTICATES = "3-D Secure"
    BY_BANK = "bank debit"
    MANUAL = "captured when in stock"
    DUPLICATED = "webhooks come twice"
    REORDERED = "webhooks out of order"
    LOST = "webhooks never come"
    CANCELS = "cancels while paying"


class Flow(StrEnum):
    """How the customer pays."""

    INTENT = "intent"
    PAGE = "page"


DELIVERED: Final = frozenset({"DELIVERED"})
EXPIRED: Final = frozenset({"CANCELLED"})
CALLED_OFF: Final = frozenset({"CANCELLED", "DELIVERED"})  # whoever was first; money and goods fit either way
# How often each story is played; the first ones need the world for themselves or much time.
PROGRAMME: Final[Sequence[tuple[Story, int, frozenset[str]]]] = (
    (Story.TIMES_OUT, 4, DELIVERED),
    (Story.LEAVES, 8, EXPIRED),
    (Story.LOST, 3, DELIVERED),
    (Story.LAST_UNIT, 6, DELIVERED),
    (Story.BY_BANK, 3, DELIVERED),
    (Story.CANCELS, 6, CALLED_OFF),
    (Story.DECLINED, 8, DELIVERED),
    (Story.AUTHENTICATES, 4, DELIVERED),
    (Story.MANUAL, 4, DELIVERED),
    (Story.DUPLICATED, 6, DELIVERED),
    (Story.REORDERED, 6, DELIVERED),
    (Story.GUEST, 6, DELIVERED),
    (Story.PAYS_ON_PAGE, 12, DELIVERED),
    (Story.PAYS, 24, DELIVERED),
)
PLAYED: Final = [times for _, times, _ in PROGRAMME]
QUICK: Final = 2  # rivals need each other
PAGE_STORIES: Final = (Story.PAYS_ON_PAGE,)
INTENT_STORIES: Final = (Story.PAYS, Story.MANUAL, Story.BY_BANK, Story.CANCELS)
CURRENCIES: Final = ("GBP", "USD", "EUR", "INR", "ZAR", "JPY", "KWD")
FREQUENCIES: Final = (30, 20, 20, 10, 7, 8, 5)
LINES_MAX: Final = 3
UNITS_MAX: Final = 3
PEOPLE: Final = (
    ("Amelia Clark", "GB", "12 Mill Lane", "Leeds", "LS1 4DY", ""),
    ("Noah Williams", "US", "480 Cedar Street", "Austin", "78701", "TX"),
    ("Lea Schneider", "DE", "Lindenweg 7", "Leipzig", "04109", ""),
    ("Priya Nair", "IN", "22 Lake Road", "Kochi", "682001", "KL"),
    ("Thabo Dlamini", "ZA", "5 Loop Street", "Cape Town", "8001", ""),
    ("Yui Tanaka", "JP", "3-14 Sakura", "Sendai", "980-0811", "04"),
    ("Noura Al-Sabah", "KW", "Block 4, Street 21", "Salmiya", "22001", ""),
    ("Chloé Lefèvre", "FR", "9 rue des Tanneurs", "Tours", "37000", ""),
    ("Mateo García", "ES", "Calle Mayor 30", "Sevilla", "41001", ""),
    ("Ieva Ozola", "LV", "Brīvības iela 55", "Rīga", "LV-1010", ""),
)


@dataclass(frozen=True)
class Person:
    """Who buys; `customer_id` is empty for a guest and `email` may be."""

    customer_id: str
    email: str
    name: str
    country: str
    street: str
    city: str
    postal_code: str
    region: str


@dataclass(frozen=True)
class Checkout:
    """One planned checkout. `ends` are the states that it may end in."""

    number: int
    story: Story
    flow: Flow
    currency: str
    lines: tuple[tuple[str, int], ...]
    person: Person
    ends: frozenset[str]

    @property
    def request_id(self) -> str:
        """The caller's key of CreateOrder."""
        return f"checkout-{self.number}"


def write(seed: int, rows: Sequence[Row], *, quick: bool = False) -> list[Checkout]:
    """The programme for a seed, over the items of a catalogue; `quick`: each story twice only."""
    chance = random.Random(seed)
    plenty = [row for row in rows if row.available and row.units >= 2 * UNITS_MAX * len(rows) // 100]
    last = [row for row in rows if row.available and row.units == 1]
    return list(_checkouts(chance, plenty, iter(chance.sample(last, len(last))), QUICK if quick else max(PLAYED)))


def _checkouts(chance: random.Random, plenty: Sequence[Row], last: Iterator[Row], times_max: int) -> Iterator[Checkout]:
    number = 0
    for story, times, ends in PROGRAMME:
        wanted = ""
        for turn in range(min(times, times_max)):
            number += 1
            if story is Story.LAST_UNIT and turn % 2 == 0:
                wanted = next(last).sku
            yield Checkout(
                number=number,
                story=story,
                flow=_flow(story, turn),
                currency=chance.choices(CURRENCIES, FREQUENCIES)[0],
                lines=((wanted, 1),) if story is Story.LAST_UNIT else _cart(chance, plenty),
                person=_person(chance, number, story, turn),
                ends=ends,
            )


def _flow(story: Story, turn: int) -> Flow:
    if story in PAGE_STORIES:
        return Flow.PAGE
    return Flow.INTENT if story in INTENT_STORIES or turn % 2 == 0 else Flow.PAGE


def _cart(chance: random.Random, plenty: Sequence[Row]) -> tuple[tuple[str, int], ...]:
    rows = chance.sample(plenty, chance.randint(1, LINES_MAX))
    return tuple((row.sku, chance.randint(1, UNITS_MAX)) for row in rows)


def _person(chance: random.Random, number: int, story: Story, turn: int) -> Person:
    name, country, street, city, postal_code, region = chance.choice(PEOPLE)
    guest = story is Story.GUEST
    return Person(
        customer_id="" if guest else f"customer-{number:03}",
        email="" if guest and turn == 0 else f"buyer{number:03}@example.com",
        name=name,
        country=country,
        street=street,
        city=city,
        postal_code=postal_code,
        region=region,
    )
