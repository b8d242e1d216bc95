"""Stripe behind the Protocol of `providers.base`, by the official SDK (F-61).

Why: retries are ours and explicit, because the SDK's own keys and retries would not survive a crash (F-10).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import stripe

from services.chassis.operations import Declined, Operation
from services.payments.domain import AttemptSeen, AttemptState, Kind, OperationPlan, RefundSeen
from services.payments.providers.base import Checkout, ProviderEvent, Shown, Unreadable
from services.payments.providers.stripe import events, money, objects
from services.payments.providers.stripe.errors import is_not_found, translate
from services.payments.providers.stripe.parameters import parameters
from services.payments.providers.stripe.transport import Transport

_PLACES: Final = 50
_SECRETS_KEPT: Final = 1_000
_SECRETS: Final = ("client_secret", "url")
_SKEW: Final = timedelta(minutes=1)  # at most, between Stripe's clock and ours
_USUAL_SKEW: Final = timedelta(seconds=2)
_PAGE: Final = 100
_PAUSES_S: Final = (1.0, 4.0)  # before a page of many is asked for again


class StripeProvider:
    """Stripe's API. `timeout` is for one HTTP call."""

    name = "stripe"
    max_in_flight = _PLACES

    def __init__(self, secret_key: str, *, api_base: str, public_origin: str, timeout: timedelta) -> None:
        self._public_origin = public_origin.rstrip("/")
        self._timeout = timeout
        self._lease = 3 * timeout  # of a try: nothing of it arrives later (S-16)
        self._http = Transport(timeout)
        self._client = stripe.StripeClient(
            secret_key, base_addresses={"api": api_base}, max_network_retries=0, http_client=self._http
        )
        self._secrets: dict[str, tuple[str, str]] = {}
        v1 = self._client.v1
        self._calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "payment_intents.create": v1.payment_intents.create_async,
            "payment_intents.cancel": v1.payment_intents.cancel_async,
            "payment_intents.capture": v1.payment_intents.capture_async,
            "checkout.sessions.create": v1.checkout.sessions.create_async,
            "checkout.sessions.expire": v1.checkout.sessions.expire_async,
            "refunds.create": v1.refunds.create_async,
        }

    def read_event(self, body: bytes) -> ProviderEvent:
        """See `events.read_event`."""
        return events.read_event(body)

    def check_amount(self, amount_minor: int, currency: str) -> None:
        """See `money.check`."""
        money.check(amount_minor, currency)

    def unit_of(self, currency: str) -> int:
        """See `money.unit_of`."""
        return money.unit_of(currency)

    def parameters(self, plan: OperationPlan, checkout: Checkout, now: datetime) -> dict[str, Any]:
        """See `parameters.parameters`."""
        return parameters(plan, checkout, now, self._public_origin)

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Send the stored call under the operation's key. What cannot be ended or captured answers as it is (F-7)."""
        stored = operation.parameters
        path = (stored["id"],) if stored["id"] else ()
        options = {"idempotency_key": operation.idempotency_key}
        try:
            answer = await self._calls[stored["call"]](*path, stored["params"], options)
        except stripe.StripeError as error:
            return await self._refused(operation, error)
        return self._without_secrets(operation, answer.to_dict(for_json=True))

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """By our id in the metadata for what a call made; by its state for what a call changed."""
        stored = operation.parameters
        kind = Kind(operation.kind)
        if kind is Kind.CREATE:
            found = await self._find_created(operation, stored)
            return self._without_secrets(operation, found) if found else None
        if kind is Kind.REFUND:
            source = {key: stored["params"][key] for key in ("payment_intent", "charge") if key in stored["params"]}
            async for row in self._pages("refunds", source):
                if (row.get("metadata") or {}).get("refund") == stored["target"]:
                    return objects.public(row)
            return None
        changed = await self._retrieve(stored["id"])
        return objects.public(changed) if changed and _is_over(changed) else None

    def read_answer(self, kind: Kind, answer: Mapping[str, Any], at: datetime) -> AttemptSeen | RefundSeen | None:
        """The fact in a stored answer; a refused refund may show the intent, which is none."""
        if kind is Kind.REFUND:
            return objects.refund(answer, at) if answer["object"] == "refund" else None
        if kind is Kind.CREATE:  # as it was made, whatever happened to it since
            return _seen(answer, objects.moment(answer["created"]), asked=False)
        return _seen(answer, at)

    def secret_of(self, object_id: str) -> tuple[str, str] | None:
        """Client secret and page of what this process created of late."""
        return self._secrets.get(object_id)

    async def fetch(self, object_id: str, at: datetime) -> Shown | None:
        """An intent, or a session with its intent; None for an id that Stripe does not know."""
        row = await self._retrieve(object_id)
        return _shown(row, at) if row else None

    async def refunds_of(self, payment_id: str, at: datetime) -> list[RefundSeen]:
        """Every refund of an intent or a charge."""
        source = "charge" if payment_id.startswith(("ch_", "py_")) else "payment_intent"
        return [objects.refund(row, at) async for row in self._pages("refunds", {source: payment_id})]

    async def events(self, since: datetime, until: datetime) -> AsyncIterator[tuple[str, bytes]]:
        """Stripe's log of events, newest first; only types that have an effect."""
        types = sorted(events.READERS)
        for part in (types[:20], types[20:]):  # the API takes at most 20 types a call
            if part:
                async for row in self._pages("events", {"created": _between(since, until), "types": part}, _PAUSES_S):
                    yield objects.identity(row.get("id")), stripe_json(row)

    async def payables(self, since: datetime, until: datetime, at: datetime) -> AsyncIterator[Shown | Unreadable]:
        """Sessions first: the intent of a session is not ended by itself (F-7).

        With its intent, for a session alone looks open while its customer is asked to act.
        """
        window = {"created": _between(since, until)}
        sessions = {**window, "expand": ["data.payment_intent"]}
        for service, params in (("checkout.sessions", sessions), ("payment_intents", window)):
            async for row in self._pages(service, params, _PAUSES_S):
                yield _listed(row, at)

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._http.close_async()

    async def _refused(self, operation: Operation, error: stripe.StripeError) -> dict[str, Any]:
        """A cancel or capture that the object's state forbids is answered by the object, if that explains it."""
        translated = translate(error)
        stored = operation.parameters
        if not isinstance(translated, Declined) or not stored["id"] or is_not_found(error):
            raise translated from error
        row = await self._retrieve(stored["id"])
        if Kind(operation.kind) is Kind.CANCEL and row is not None:
            return objects.public(row)
        raise Declined(translated.code, str(translated), objects.public(row) if row else None) from error

    async def _find_created(self, operation: Operation, stored: Mapping[str, Any]) -> dict[str, Any] | None:
        """List what was made around the last try, and the first: Stripe's search may lag, its lists do not.

        First while a try was under way, where nearly all are found: a list cannot be filtered by our id and begins with
        the newest, so that a busy shop's would be minutes long before it comes to what is looked for.
        """
        first = operation.first_sent_at or operation.planned_at
        service = "checkout.sessions" if stored["call"].startswith("checkout") else "payment_intents"
        for longest, skew in ((self._timeout, _USUAL_SKEW), (self._lease, _SKEW)):
            for sent in dict.fromkeys((operation.last_sent_at or first, first)):
                async for row in self._pages(service, {"created": _between(sent - skew, sent + longest + skew)}):
                    if (row.get("metadata") or {}).get("attempt_id") == stored["target"]:
                        return row
        return None

    async def _retrieve(self, object_id: str) -> dict[str, Any] | None:
        v1 = self._client.v1
        try:
            if object_id.startswith("cs_"):
                params: Any = {"expand": ["payment_intent"]}
                found: Any = await v1.checkout.sessions.retrieve_async(object_id, params)
            else:
                found = await v1.payment_intents.retrieve_async(object_id)
        except stripe.StripeError as error:
            if is_not_found(error):
                return None
            raise translate(error) from error
        row: dict[str, Any] = found.to_dict(for_json=True)
        return row

    async def _pages(
        self, service: str, params: Mapping[str, Any], pauses_s: Sequence[float] = ()
    ) -> AsyncIterator[dict[str, Any]]:
        lists: dict[str, Any] = {
            "refunds": self._client.v1.refunds,
            "events": self._client.v1.events,
            "payment_intents": self._client.v1.payment_intents,
            "checkout.sessions": self._client.v1.checkout.sessions,
        }
        page = await _page(partial(lists[service].list_async, {**params, "limit": _PAGE}), pauses_s)
        while True:
            for row in page.data:
                yield row.to_dict(for_json=True)
            if not page.has_more or not page.data:
                return
            page = await _page(page.next_page_async, pauses_s)

    def _without_secrets(self, operation: Operation, row: dict[str, Any]) -> dict[str, Any]:
        """Keep the secret for the caller who waits, and nothing of it in the journal (S-5)."""
        if operation.kind == Kind.CREATE and _state(row) is AttemptState.PAYABLE:
            if len(self._secrets) >= _SECRETS_KEPT:
                self._secrets.pop(next(iter(self._secrets)))
            self._secrets[row["id"]] = _secrets_of(row)
        return objects.public(row)


async def _page(ask: Callable[[], Awaitable[Any]], pauses_s: Sequence[float]) -> Any:
    """One page of a list; asked for again after each pause, for one of many must not cost all of them."""
    try:
        return await ask()
    except stripe.StripeError as error:
        translated = translate(error)
        if not pauses_s or isinstance(translated, Declined):
            raise translated from error
    await asyncio.sleep(pauses_s[0])
    return await _page(ask, pauses_s[1:])


def stripe_json(row: Mapping[str, Any]) -> bytes:
    """A fetched event in the shape of a webhook's body. Escaped: half of a surrogate pair has no bytes (F-32)."""
    return json.dumps(row, separators=(",", ":")).encode()


def _secrets_of(row: Mapping[str, Any]) -> tuple[str, str]:
    secret, url = (objects.text(row.get(key)) for key in _SECRETS)
    return ("", url) if row["object"] == "checkout.session" else (secret, "")


def _seen(row: Mapping[str, Any], at: datetime, *, asked: bool = True) -> AttemptSeen:
    read = objects.session if row["object"] == "checkout.session" else objects.intent
    return read(row, at, asked=asked)


def _listed(row: Mapping[str, Any], at: datetime) -> Shown | Unreadable:
    try:
        return _shown(row, at)
    except (KeyError, TypeError, ValueError) as error:
        return Unreadable(objects.identity(row.get("id")), objects.order_of(row), repr(error))


def _shown(row: Mapping[str, Any], at: datetime) -> Shown:
    seen = _seen(row, at)
    is_session = row["object"] == "checkout.session"
    word = row["payment_status"] if is_session else row["status"]
    secret, url = _secrets_of(row) if not _is_over(row) else ("", "")
    paid = word in ("paid", "no_payment_required") if is_session else word == "succeeded"
    return Shown(seen, objects.order_of(row), objects.text(word), paid, objects.moment(row["created"]), secret, url)


def _state(row: Mapping[str, Any]) -> AttemptState | None:
    return _seen(row, objects.moment(0)).state if row["object"] != "refund" else None


def _is_over(row: Mapping[str, Any]) -> bool:
    return _state(row) in (AttemptState.CANCELED, AttemptState.SUCCEEDED)


def _between(since: datetime, until: datetime) -> dict[str, int]:
    return {"gte": int(since.timestamp()), "lte": int(until.timestamp()) + 1}
