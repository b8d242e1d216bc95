"""A typed client of the control API: tests and the demo act as customer, bank, warehouse and auditor."""

from types import TracebackType
from typing import Self

from .. import views
from .http import TIMEOUT_SECONDS, ControlHttp, SimulatorError
from .printful import PrintfulControl
from .stripe import StripeControl
from .webhooks import FaultControl, WebhookControl

__all__ = ["SimulatorClient", "SimulatorError"]


class SimulatorClient:
    """Everything that the outside world does at the vendors; use it as an async context manager."""

    def __init__(self, base_url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._http = ControlHttp(base_url, timeout_seconds)
        self.stripe = StripeControl(self._http)
        self.printful = PrintfulControl(self._http)
        self.webhooks = WebhookControl(self._http)
        self.faults = FaultControl(self._http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def now(self) -> float:
        """The simulators' time, unix seconds."""
        return views.ClockView.model_validate(await self._http.get("/clock")).now

    async def advance(self, seconds: float) -> float:
        """Let the simulators' time pass; returns the new time."""
        return (await self._http.act(views.ClockView, "/clock/advance", seconds=seconds)).now

    async def reset(self) -> None:
        """Forget objects, ledgers, events, queue and faults; endpoints and time stay."""
        await self._http.post("/reset")
