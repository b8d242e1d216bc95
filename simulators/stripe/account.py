"""The merchant's account: objects, event log, ledger, changed only by synchronous code, hence atomically."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator

from ..settings import SimulatorSettings
from ..shared.clock import Agenda, SimulatorClock
from ..shared.faults import FaultBook
from ..shared.ids import bare
from ..shared.webhooks import WebhookDesk
from .errors import missing
from .events import EventLetter, Signer
from .ledger import Ledger, MovementKind
from .methods import METHODS, Method
from .objects import Object, event

EVENTS_KEPT_SECONDS = 30 * 86_400


class Table:
    """Objects of one kind by id, listed newest first."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, Object] = {}
        self._order: list[str] = []
        self._places: dict[str, int] = {}

    def add(self, row: Object) -> None:
        """Keep a new object."""
        self.rows[row["id"]] = row
        self._places[row["id"]] = len(self._order)
        self._order.append(row["id"])

    def get(self, identifier: str, *, param: str = "id", status: int = 404) -> Object:
        """The object, or Stripe's `resource_missing`."""
        row = self.rows.get(identifier)
        if row is None:
            raise missing(self.kind, identifier, param=param, status=status)
        return row

    def newest_first(self, after: str | None = None) -> Iterator[Object]:
        """From the newest, or from the one that follows `after`, to the oldest."""
        place = len(self._order) if after is None else self._place(after, "starting_after")
        for index in range(place - 1, -1, -1):
            yield self.rows[self._order[index]]

    def newer_than(self, identifier: str) -> Iterator[Object]:
        """From the one right after `identifier` in time to the newest: what `ending_before` pages through."""
        for index in range(self._place(identifier, "ending_before") + 1, len(self._order)):
            yield self.rows[self._order[index]]

    def _place(self, identifier: str, param: str) -> int:
        if identifier not in self._places:
            raise missing(self.kind, identifier, param=param, status=400)
        return self._places[identifier]


class Account:
    """One Stripe account in memory."""

    def __init__(
        self, settings: SimulatorSettings, clock: SimulatorClock, agenda: Agenda, faults: FaultBook, desk: WebhookDesk
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.agenda = agenda
        self.faults = faults
        self.desk = desk
        self.signer = Signer(
            settings.stripe_webhook_url, settings.stripe_webhook_secret, clock, settings.stripe_webhook_types
        )
        self.intent_watchers: list[Callable[[Object], None]] = []
        self.reset()

    def reset(self) -> None:
        """Forget every object, event and movement; the endpoint stays."""
        self.intents = Table("payment_intent")
        self.charges = Table("charge")
        self.refunds = Table("refund")
        self.disputes = Table("dispute")
        self.sessions = Table("checkout.session")
        self.events = Table("event")
        self.ledger = Ledger()
        self.session_of: dict[str, str] = {}
        self.line_items: dict[str, list[Object]] = {}
        self.request: Object = {"id": None, "idempotency_key": None}
        self._updates: dict[tuple[str, int], int] = defaultdict(int)
        self._owners: dict[str, str] = {}
        self._objects_of: dict[str, list[tuple[Table, str]]] = defaultdict(list)

    def now(self) -> int:
        """Unix seconds, as Stripe stamps objects."""
        return int(self.clock.now())

    def keep(self, table: Table, row: Object, order_id: str | None) -> None:
        """Add an object and remember whose order it belongs to."""
        table.add(row)
        self.assign(table, row, order_id)

    def assign(self, table: Table, row: Object, order_id: str | None) -> None:
        """Say whose order an object belongs to; the first word stands."""
        if order_id and row["id"] not in self._owners:
            self._owners[row["id"]] = order_id
            self._objects_of[bare(order_id)].append((table, row["id"]))

    def owner(self, row: Object) -> str | None:
        """The order that an object belongs to: by its own word, or by its intent's."""
        own = self._owners.get(row.get("id", "")) or order_of(row)
        if own is None and isinstance(row.get("payment_intent"), str):
            own = self._owners.get(row["payment_intent"])
        return own

    def count_update(self, intent_id: str, limit: int) -> bool:
        """Count an update of an intent; False beyond `limit` in the running hour (F-11)."""
        key = (intent_id, self.now() // 3_600)
        self._updates[key] += 1
        return self._updates[key] <= limit

    def of_order(self, table: Table, order_id: str) -> list[Object]:
        """The objects of one order in one table, oldest first."""
        return [table.rows[row_id] for owner, row_id in self._objects_of.get(bare(order_id), ()) if owner is table]

    def order_ids(self) -> list[str]:
        """Every order that an object names, as it was first written."""
        return list({bare(order_id): order_id for order_id in reversed(self._owners.values())}.values())[::-1]

    def emit(self, type_: str, row: Object) -> EventLetter:
        """Log an event with a frozen copy of its object and hand it to the desk."""
        envelope = event(type_, self.now(), dict(self.request), 1 if self.signer.wants(type_) else 0)
        envelope["data"] = {"object": row}
        body = json.dumps(envelope, separators=(",", ":")).encode()
        letter = EventLetter(type_, envelope["id"], self.owner(row), body, self.signer)
        # The log keeps the text: a copy as nested dicts would take ten times the memory.
        self.events.add({"id": letter.event_id, "type": type_, "created": envelope["created"], "letter": letter})
        if self.signer.wants(type_):
            self.desk.submit(letter)
        return letter

    def resend(self, event_id: str) -> None:
        """Send an old event once more."""
        self.desk.resend(self.events.get(event_id)["letter"])

    def move(self, kind: MovementKind, intent: Object, object_id: str, amount_minor: int) -> None:
        """Write money's movement into the ledger."""
        self.ledger.record(self.clock.now(), kind, self.owner(intent), intent, object_id, amount_minor)

    def intent_changed(self, intent: Object) -> None:
        """Tell the watchers: a Checkout session follows its intent (F-7)."""
        for watcher in self.intent_watchers:
            watcher(intent)

    def method(self, method_id: str, param: str = "payment_method") -> Method:
        """A test payment method, or Stripe's `resource_missing`."""
        found = METHODS.get(method_id)
        if found is None:
            raise missing("PaymentMethod", method_id, param=param, status=400)
        return found

    def find(self, identifier: str) -> Object | None:
        """Any object by id: what `expand` looks through."""
        for table in (self.intents, self.charges, self.sessions, self.refunds, self.disputes):
            row = table.rows.get(identifier)
            if row is not None:
                return row
        return None


def order_of(row: Object) -> str | None:
    """The order id an object carries: `metadata[order_id]`, at a session also `client_reference_id`."""
    metadata = row.get("metadata")
    if isinstance(metadata, dict) and metadata.get("order_id"):
        return str(metadata["order_id"])
    reference = row.get("client_reference_id")
    return reference if isinstance(reference, str) else None
