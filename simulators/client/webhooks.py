"""Endpoints, queue and scripted faults, so that a test decides what arrives, when, and what goes wrong."""

from pydantic import TypeAdapter

from .. import views
from ..shared.faults import Answer, ApiFaultKind, WebhookFaultKind
from .http import ControlHttp

_ATTEMPTS = TypeAdapter(list[views.AttemptView])


class WebhookControl:
    """Endpoints and the queue."""

    def __init__(self, http: ControlHttp) -> None:
        self._http = http

    async def configure(
        self,
        *,
        stripe_url: str | None = None,
        stripe_secret: str | None = None,
        stripe_types: str | None = None,
        printful_url: str | None = None,
        printful_secret: str | None = None,
        printful_version: str | None = None,
    ) -> None:
        """Where webhooks go from now on; only what is given changes."""
        body = {
            "stripe_url": stripe_url,
            "stripe_secret": stripe_secret,
            "stripe_types": stripe_types,
            "printful_url": printful_url,
            "printful_secret": printful_secret,
            "printful_version": printful_version,
        }
        await self._http.post("/webhooks/endpoints", body)

    async def deliver(self, late: bool = False) -> views.DeliveryReport:
        """Send all that is due, each once, in order, one at a time; `late` also what is not due yet."""
        answer = await self._http.post("/webhooks/deliver", late="true" if late else "false")
        return views.DeliveryReport.model_validate(answer)

    async def resend(self, event_id: str) -> None:
        """Queue an event once more."""
        await self._http.post(f"/webhooks/{event_id}/resend")

    async def discard(self) -> int:
        """Throw away what is queued; returns how many."""
        return int((await self._http.post("/webhooks/discard"))["discarded"])

    async def log(self) -> list[views.AttemptView]:
        """Every attempt so far, oldest first."""
        return _ATTEMPTS.validate_python(await self._http.get("/webhooks/log"))


class FaultControl:
    """Scripted misbehaviour."""

    def __init__(self, http: ControlHttp) -> None:
        self._http = http

    async def api(
        self,
        *,
        vendor: views.Vendor,
        kind: ApiFaultKind,
        operation: str = "*",
        order_id: str = "*",
        times: int = 1,
        answer: Answer = "close",
        delay_seconds: float = 0.0,
        code: str = "generic_decline",
        probability: float = 1.0,
    ) -> None:
        """The next `times` calls that match go wrong."""
        wanted = views.ApiFaultRequest(
            vendor=vendor,
            kind=kind,
            operation=operation,
            order_id=order_id,
            times=times,
            answer=answer,
            delay_seconds=delay_seconds,
            code=code,
            probability=probability,
        )
        await self._http.post("/faults/api", wanted.model_dump())

    async def webhook(
        self,
        *,
        vendor: views.Vendor,
        kind: WebhookFaultKind,
        type: str = "*",
        order_id: str = "*",
        times: int = 1,
        copies: int = 1,
        delay_seconds: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        """The next `times` events that match go wrong."""
        wanted = views.WebhookFaultRequest(
            vendor=vendor,
            kind=kind,
            type=type,
            order_id=order_id,
            times=times,
            copies=copies,
            delay_seconds=delay_seconds,
            probability=probability,
        )
        await self._http.post("/faults/webhooks", wanted.model_dump())

    async def list(self) -> views.FaultsView:
        """The faults still to come."""
        return views.FaultsView.model_validate(await self._http.get("/faults"))

    async def clear(self) -> None:
        """Everything goes right again."""
        await self._http.delete("/faults")
