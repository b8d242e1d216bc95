"""Customers and banks at Stripe, for tests that must act as both and then read what truly moved."""

from typing import Any

from pydantic import TypeAdapter

from .. import views
from .http import ControlHttp

_MOVEMENTS = TypeAdapter(list[views.MovementView])
_ORDER_LEDGERS = TypeAdapter(dict[str, views.OrderLedger])


class StripeControl:
    """Customers and banks at Stripe, and its ledger."""

    def __init__(self, http: ControlHttp) -> None:
        self._http = http

    async def confirm(self, intent: str, payment_method: str = "pm_card_visa") -> views.IntentView:
        """The customer confirms; `intent` is an id or a client secret. A decline is a state, not an exception."""
        identifier = intent.partition("_secret_")[0]
        path = f"/stripe/payment_intents/{identifier}/confirm"
        return await self._http.act(views.IntentView, path, payment_method=payment_method)

    async def authenticate(self, intent_id: str, succeed: bool = True) -> views.IntentView:
        """The customer passes or fails 3-D Secure."""
        path = f"/stripe/payment_intents/{intent_id}/authenticate"
        return await self._http.act(views.IntentView, path, succeed=succeed)

    async def settle(self, intent_id: str, succeed: bool = True) -> views.IntentView:
        """An async payment ends."""
        return await self._http.act(views.IntentView, f"/stripe/payment_intents/{intent_id}/settle", succeed=succeed)

    async def lapse(self, intent_id: str) -> views.IntentView:
        """An uncaptured authorisation lapses."""
        return await self._http.act(views.IntentView, f"/stripe/payment_intents/{intent_id}/lapse")

    async def pay_session(self, session_id: str, payment_method: str = "pm_card_visa") -> views.SessionView:
        """The customer pays on the hosted page; a decline leaves the session open."""
        path = f"/stripe/sessions/{session_id}/pay"
        return await self._http.act(views.SessionView, path, payment_method=payment_method)

    async def authenticate_session(self, session_id: str, succeed: bool = True) -> views.SessionView:
        """The customer passes or fails 3-D Secure on the hosted page."""
        path = f"/stripe/sessions/{session_id}/authenticate"
        return await self._http.act(views.SessionView, path, succeed=succeed)

    async def abandon_session(self, session_id: str) -> views.SessionView:
        """The customer leaves for `cancel_url`; the session stays open."""
        return await self._http.act(views.SessionView, f"/stripe/sessions/{session_id}/abandon")

    async def fail_refund(self, refund_id: str, reason: str = "expired_or_canceled_card") -> views.RefundView:
        """A refund comes back."""
        return await self._http.act(views.RefundView, f"/stripe/refunds/{refund_id}/fail", reason=reason)

    async def settle_refund(self, refund_id: str) -> views.RefundView:
        """A pending refund arrives."""
        return await self._http.act(views.RefundView, f"/stripe/refunds/{refund_id}/settle")

    async def open_dispute(
        self, intent_id: str, amount: int | None = None, reason: str = "fraudulent"
    ) -> views.DisputeView:
        """A cardholder disputes what an intent captured."""
        body = {"payment_intent": intent_id, "amount": amount, "reason": reason}
        return await self._http.act(views.DisputeView, "/stripe/disputes", **body)

    async def close_dispute(self, dispute_id: str, won: bool) -> views.DisputeView:
        """The bank decides."""
        return await self._http.act(views.DisputeView, f"/stripe/disputes/{dispute_id}/close", won=won)

    async def emit(self, type_: str, object_: dict[str, Any]) -> str:
        """An event of any type with any object; returns its id."""
        return str((await self._http.post("/stripe/events", {"type": type_, "object": object_}))["id"])

    async def ledger(self, order_id: str | None = None) -> views.OrderLedger:
        """One order's money, or everybody's."""
        return views.OrderLedger.model_validate(await self._http.get("/stripe/ledger", order_id=order_id))

    async def ledgers(self) -> dict[str, views.OrderLedger]:
        """Each order's money."""
        return _ORDER_LEDGERS.validate_python(await self._http.get("/stripe/ledgers"))

    async def movements(self, after: int = 0) -> list[views.MovementView]:
        """Every movement of money with a sequence above `after`."""
        return _MOVEMENTS.validate_python(await self._http.get("/stripe/movements", after=str(after)))
