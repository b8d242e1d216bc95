"""The table of Stripe's endpoints: name, verb, path and what runs, so that routing, faults and docs read one list."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import intents, lists, refunds
from .account import EVENTS_KEPT_SECONDS, Account, Table, order_of
from .checkout import Checkout
from .errors import missing
from .forms import Params
from .objects import Object, page


@dataclass(frozen=True)
class Call:
    """One request, decoded: `id` is the object in the path, `origin` the address a browser would use."""

    account: Account
    checkout: Checkout
    params: Params
    id: str
    origin: str

    def order_id(self) -> str | None:
        """Whose order this call is about; what faults are matched by."""
        row = self.account.find(self.id) if self.id else None
        if row is not None:
            return self.account.owner(row)
        values: dict[str, Any] = self.params.values
        own = order_of(values)
        nested = values.get("payment_intent_data")
        if own is None and isinstance(nested, dict):
            own = order_of(nested)
        for key in ("payment_intent", "charge"):
            if own is None and isinstance(values.get(key), str):
                row = self.account.find(values[key])
                own = self.account.owner(row) if row is not None else None
        return own


@dataclass(frozen=True)
class Operation:
    """One endpoint; `public`: a publishable key may use it with the client secret."""

    name: str
    verb: str
    path: str
    run: Callable[[Call], Object]
    public: bool = False


def _one(table: str) -> Callable[[Call], Object]:
    def run(call: Call) -> Object:
        call.params.only({"expand"})
        rows: Table = getattr(call.account, table)
        return rows.get(call.id)

    return run


def _of(run: Callable[[Account, str, Params], Object]) -> Callable[[Call], Object]:
    return lambda call: run(call.account, call.id, call.params)


def _event(call: Call) -> Object:
    call.params.only({"expand"})
    row = call.account.events.get(call.id)
    if row["created"] < call.account.now() - EVENTS_KEPT_SECONDS:
        raise missing("event", call.id)
    return lists.event(row)


def _line_items(call: Call) -> Object:
    call.account.sessions.get(call.id)
    return page(f"/v1/checkout/sessions/{call.id}/line_items", call.account.line_items[call.id], False)


def _list(table: str, url: str, *filters: str) -> Callable[[Call], Object]:
    allowed = frozenset(filters)
    return lambda call: lists.listing(getattr(call.account, table), call.params, url, allowed)


_INTENTS = "/v1/payment_intents"
_INTENT = _INTENTS + "/{id}"
_SESSIONS = "/v1/checkout/sessions"
_SESSION = _SESSIONS + "/{id}"
_REFUNDS = "/v1/refunds"

OPERATIONS = (
    Operation("payment_intents.create", "POST", _INTENTS, lambda c: intents.create(c.account, c.params)),
    Operation("payment_intents.list", "GET", _INTENTS, _list("intents", _INTENTS, "customer")),
    Operation("payment_intents.retrieve", "GET", _INTENT, _of(intents.retrieve), public=True),
    Operation("payment_intents.update", "POST", _INTENT, _of(intents.update)),
    Operation("payment_intents.confirm", "POST", _INTENT + "/confirm", _of(intents.confirm), public=True),
    Operation("payment_intents.capture", "POST", _INTENT + "/capture", _of(intents.capture)),
    Operation("payment_intents.cancel", "POST", _INTENT + "/cancel", _of(intents.cancel)),
    Operation("checkout.sessions.create", "POST", _SESSIONS, lambda c: c.checkout.create(c.params, c.origin)),
    Operation("checkout.sessions.list", "GET", _SESSIONS, _list("sessions", _SESSIONS, "payment_intent", "status")),
    Operation("checkout.sessions.retrieve", "GET", _SESSION, lambda c: c.checkout.retrieve(c.id, c.params)),
    Operation("checkout.sessions.update", "POST", _SESSION, lambda c: c.checkout.update(c.id, c.params)),
    Operation("checkout.sessions.expire", "POST", _SESSION + "/expire", lambda c: c.checkout.expire(c.id, c.params)),
    Operation("checkout.sessions.line_items", "GET", _SESSION + "/line_items", _line_items),
    Operation("refunds.create", "POST", _REFUNDS, lambda c: refunds.create(c.account, c.params)),
    Operation("refunds.list", "GET", _REFUNDS, _list("refunds", _REFUNDS, "charge", "payment_intent")),
    Operation("refunds.retrieve", "GET", _REFUNDS + "/{id}", _one("refunds")),
    Operation("refunds.update", "POST", _REFUNDS + "/{id}", _of(refunds.update)),
    Operation("charges.list", "GET", "/v1/charges", _list("charges", "/v1/charges", "payment_intent", "customer")),
    Operation("charges.retrieve", "GET", "/v1/charges/{id}", _one("charges")),
    Operation("disputes.list", "GET", "/v1/disputes", _list("disputes", "/v1/disputes", "charge", "payment_intent")),
    Operation("disputes.retrieve", "GET", "/v1/disputes/{id}", _one("disputes")),
    Operation("events.list", "GET", "/v1/events", lambda c: lists.events(c.account, c.params)),
    Operation("events.retrieve", "GET", "/v1/events/{id}", _event),
)
